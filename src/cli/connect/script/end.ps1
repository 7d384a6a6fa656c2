
Write-Host ''
Write-Host "Write into [[oauth]] of Mailsluice's configuration:"
Write-Host "  tenant = ""$TenantId"""
Write-Host "  client_id = ""$($Principal.AppId)"""

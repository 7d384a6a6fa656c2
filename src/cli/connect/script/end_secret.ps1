Write-Host "  secret_expires = ""$($Secret.EndDateTime.ToString('yyyy-MM-dd'))"""
Write-Host "and this into the file of client_secret; it is never shown again:"
Write-Host "  $($Secret.SecretText)"

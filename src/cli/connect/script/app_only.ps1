
# The permission SMTP.SendAsApp, with the administrator's consent. By itself it opens no mailbox: the role below does.
foreach ($Name in $EntraPermissions) {
    $Role = $Exchange.AppRoles | Where-Object { $_.Value -eq $Name }
    $Assigned = Get-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $Principal.Id -All |
        Where-Object { $_.AppRoleId -eq $Role.Id -and $_.ResourceId -eq $Exchange.Id }
    if (-not $Assigned) {
        New-MgServicePrincipalAppRoleAssignment -ServicePrincipalId $Principal.Id -BodyParameter @{
            principalId = $Principal.Id; resourceId = $Exchange.Id; appRoleId = $Role.Id
        } | Out-Null
    }
}

# In Exchange: a reference to the service principal, by the object id of the Enterprise application.
Connect-ExchangeOnline -ShowBanner:$false
if (-not (Get-ServicePrincipal -Identity $Principal.Id -ErrorAction SilentlyContinue)) {
    New-ServicePrincipal -AppId $Principal.AppId -ObjectId $Principal.Id -DisplayName $AppName | Out-Null
}

# The scope: these mailboxes and no other.
$Addresses = $Mailboxes | ForEach-Object { (Get-Mailbox -Identity $_).PrimarySmtpAddress }
$Filter = ($Addresses | ForEach-Object { "PrimarySmtpAddress -eq '$("$_".Replace("'", "''"))'" }) -join ' -or '
if (Get-ManagementScope -Identity $AppName -ErrorAction SilentlyContinue) {
    Set-ManagementScope -Identity $AppName -RecipientRestrictionFilter $Filter
} else {
    New-ManagementScope -Name $AppName -RecipientRestrictionFilter $Filter | Out-Null
}

# The roles, within that scope.
foreach ($Role in $ExchangeRoles) {
    $Assignment = "$AppName $($Role.Replace('Application ', ''))"
    if (-not (Get-ManagementRoleAssignment -Identity $Assignment -ErrorAction SilentlyContinue)) {
        New-ManagementRoleAssignment -Name $Assignment -App $Principal.Id -Role $Role -CustomResourceScope $AppName | Out-Null
    }
}

# Where it is sent by SMTP, each mailbox may log in by it. The test: each role must show InScope True. (It may take an hour, and
# for Microsoft Graph some hours, until it is so.)
foreach ($Mailbox in $Mailboxes) {
    if ($ForSmtp) { Set-CASMailbox -Identity $Mailbox -SmtpClientAuthenticationDisabled $false }
    Test-ServicePrincipalAuthorization -Identity $Principal.Id -Resource $Mailbox | Format-Table
}

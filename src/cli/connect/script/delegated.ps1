
# The permissions, and the administrator's consent to them, for the one person who signs in. Who is somebody else than the
# first mailbox: write it here. They give no right that this person has not.
$Person = $Mailboxes[0]
$PersonId = (Get-MgUser -UserId $Person).Id
$Graph = Get-MgServicePrincipal -Filter "appId eq '00000003-0000-0000-c000-000000000000'"
$Access = @()
foreach ($Api in $Exchange, $Graph) {
    $Scopes = @($Api.Oauth2PermissionScopes | Where-Object { $_.Value -in $Delegated })
    if (-not $Scopes) { continue }
    $Access += @{ resourceAppId = $Api.AppId; resourceAccess = @($Scopes | ForEach-Object { @{ id = $_.Id; type = 'Scope' } }) }
    $Grant = Get-MgOauth2PermissionGrant -All -Filter "clientId eq '$($Principal.Id)' and resourceId eq '$($Api.Id)'" |
        Where-Object { $_.PrincipalId -eq $PersonId }
    $Body = @{ scope = $Scopes.Value -join ' ' }
    if ($Grant) {
        Update-MgOauth2PermissionGrant -OAuth2PermissionGrantId $Grant.Id -BodyParameter $Body
    } else {
        $Body += @{ clientId = $Principal.Id; consentType = 'Principal'; principalId = $PersonId; resourceId = $Api.Id }
        New-MgOauth2PermissionGrant -BodyParameter $Body | Out-Null
    }
}
Update-MgApplication -ApplicationId $App.Id -BodyParameter @{ requiredResourceAccess = $Access }

# Where it is sent by SMTP, each mailbox may log in by it. For those that are not the person's own, the person needs the right to use them.
Connect-ExchangeOnline -ShowBanner:$false
foreach ($Mailbox in $Mailboxes) {
    if ($ForSmtp) { Set-CASMailbox -Identity $Mailbox -SmtpClientAuthenticationDisabled $false }
    if ($Mailbox -ne $Person) {
        Add-MailboxPermission -Identity $Mailbox -User $Person -AccessRights FullAccess -AutoMapping $false | Out-Null
        Add-RecipientPermission -Identity $Mailbox -Trustee $Person -AccessRights SendAs -Confirm:$false | Out-Null
    }
}

# The test: where it is sent by SMTP, SmtpClientAuthenticationDisabled must be False everywhere.
if ($ForSmtp) { foreach ($Mailbox in $Mailboxes) { Get-CASMailbox -Identity $Mailbox | Format-Table PrimarySmtpAddress, SmtpClientAuthenticationDisabled } }

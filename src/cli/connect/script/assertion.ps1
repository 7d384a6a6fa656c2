
# Whose statements prove the relay. They are in the file that assertion_file names: its claims iss and sub.
if (-not ($Issuer -and $Subject)) { throw 'Write $Issuer and $Subject: the claims iss and sub of the assertion.' }
$Known = Get-MgApplicationFederatedIdentityCredential -ApplicationId $App.Id | Where-Object { $_.Subject -eq $Subject }
if (-not $Known) {
    New-MgApplicationFederatedIdentityCredential -ApplicationId $App.Id -BodyParameter @{
        name = 'mailsluice'; issuer = $Issuer; subject = $Subject; audiences = @('api://AzureADTokenExchange')
    } | Out-Null
}

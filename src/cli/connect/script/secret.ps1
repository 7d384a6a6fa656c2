
# A client secret, shown once, at the end. It expires: write the date as secret_expires, and you are warned beforehand.
$Secret = Add-MgApplicationPassword -ApplicationId $App.Id -BodyParameter @{
    passwordCredential = @{ displayName = $AppName; endDateTime = (Get-Date).ToUniversalTime().AddMonths(12).ToString('o') }
}

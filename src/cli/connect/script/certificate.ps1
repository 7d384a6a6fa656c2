
# The certificate whose key signs for the relay. The key itself stays where it is. Others that are there stay, too.
$Keys = @($App.KeyCredentials | Where-Object { $_.DisplayName -ne $AppName })
$Keys += @{ type = 'AsymmetricX509Cert'; usage = 'Verify'; displayName = $AppName; key = [Convert]::FromBase64String($Certificate) }
Update-MgApplication -ApplicationId $App.Id -BodyParameter @{ keyCredentials = @($Keys) }

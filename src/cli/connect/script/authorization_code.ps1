
# Where the browser comes back to: this machine, at any port.
$Redirects = @($App.PublicClient.RedirectUris) + 'http://localhost' | Where-Object { $_ } | Select-Object -Unique
Update-MgApplication -ApplicationId $App.Id -BodyParameter @{ publicClient = @{ redirectUris = @($Redirects) } }


# "Allow public client flows": without it a device code ends in AADSTS7000218.
Update-MgApplication -ApplicationId $App.Id -BodyParameter @{ isFallbackPublicClient = $true }


# The application, and its service principal (in the portal: "Enterprise application"), whose object id Exchange wants.
if ($ClientId) {
    $App = Get-MgApplication -Filter "appId eq '$ClientId'"
    if (-not $App) { throw "There is no application $ClientId in this tenant." }
} else {
    $App = @(Get-MgApplication -Filter "displayName eq '$AppName'")[0]
}
if (-not $App) {
    $App = New-MgApplication -BodyParameter @{ displayName = $AppName; signInAudience = 'AzureADMyOrg' }
}
$Principal = Get-MgServicePrincipal -Filter "appId eq '$($App.AppId)'"
if (-not $Principal) { $Principal = New-MgServicePrincipal -BodyParameter @{ appId = $App.AppId } }

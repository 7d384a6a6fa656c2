$ErrorActionPreference = 'Stop'
foreach ($Module in 'Microsoft.Graph.Authentication', 'Microsoft.Graph.Applications', 'Microsoft.Graph.Users',
                    'Microsoft.Graph.Identity.SignIns', 'ExchangeOnlineManagement') {
    if (-not (Get-Module -ListAvailable -Name $Module)) { Install-Module -Name $Module -Scope CurrentUser }
}
$Where = if ($Tenant) { @{ TenantId = $Tenant } } else { @{} }
Connect-MgGraph @Where -NoWelcome -Scopes 'Application.ReadWrite.All', 'AppRoleAssignment.ReadWrite.All',
    'DelegatedPermissionGrant.ReadWrite.All', 'User.Read.All'
$TenantId = (Get-MgContext).TenantId
$Exchange = Get-MgServicePrincipal -Filter "appId eq '00000002-0000-0ff1-ce00-000000000000'"

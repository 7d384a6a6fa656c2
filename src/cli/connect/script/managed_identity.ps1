
# The identity of the machine on which the relay runs. Write its name here, unless the configuration has its client id.
$IdentityName = ''
$Principal = if ($ClientId) { Get-MgServicePrincipal -Filter "appId eq '$ClientId'" }
             else { Get-MgServicePrincipal -Filter "displayName eq '$IdentityName' and servicePrincipalType eq 'ManagedIdentity'" }
if (@($Principal).Count -ne 1) { throw 'There is not exactly one such identity: write its name into $IdentityName.' }

//! Files of an operator, as tests of several sections need them.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};

/// Writes a file with its mode, and makes its folder where there is none.
pub(super) fn write(path: &Path, text: &str, mode: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_permissions(Permissions::from_mode(mode)).unwrap();
}

/// What is in a certificate of a host.
pub(super) fn of_host() -> CertificateParams {
    CertificateParams::new(vec!["relay.example".to_owned()]).unwrap()
}

/// Writes `NAME.pem`, a certificate, and `NAME.key`, its key, which nobody else can read.
pub(super) fn write_pair(folder: &Path, name: &str, params: &CertificateParams, key: &KeyPair) {
    write(&folder.join(format!("{name}.pem")), &params.self_signed(key).unwrap().pem(), 0o600);
    write(&folder.join(format!("{name}.key")), &key.serialize_pem(), 0o600);
}

/// A new RSA key: the crate that makes certificates makes none.
pub(super) fn rsa() -> KeyPair {
    let key = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let text = STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    KeyPair::from_pem_and_sign_algo(&pem, &rcgen::PKCS_RSA_SHA256).unwrap()
}

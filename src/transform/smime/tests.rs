use rcgen::{CertificateParams, KeyPair, SanType};

use super::*;
use crate::config::Config;

const NOW: i64 = 1_795_327_200;

/// A configuration with a certificate for an address, in a folder of its own.
fn entries(address: &str, key: &KeyPair) -> Vec<SmimeEntry> {
    let folder = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![SanType::Rfc822Name(address.try_into().unwrap())];
    let certificate = params.self_signed(key).unwrap().pem();
    for (name, text) in [("own.pem", certificate), ("own.key", key.serialize_pem())] {
        #[expect(clippy::disallowed_methods, reason = "a test writes where it likes")]
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let config = format!(
        "[[upstream]]\nname = \"a\"\nhost = \"h\"\n[[smime]]\naddress = \"{address}\"\ncertificate = \"own.pem\"\nkey = {{ file = \"own.key\" }}\n"
    );
    Config::from_toml(&config, folder.path()).unwrap().config.smime
}

fn signers() -> SmimeSigners {
    SmimeSigners::new(&entries("Invoices@firm.example", &KeyPair::generate().unwrap())).unwrap()
}

fn sign(content: &[u8]) -> String {
    let out = signers().sign(content, Timestamp::from_second(NOW).unwrap()).unwrap();
    String::from_utf8_lossy(out.as_deref().unwrap_or(content)).into_owned()
}

#[test]
fn signs_the_body_and_what_says_what_it_is() {
    let content = "Received: x\r\nFrom: Firm <invoices@FIRM.example>\r\nContent-Type: text/plain;\r\n charset=utf-8\r\n\
        Subject: s\r\ncontent-language: de\r\n\r\nhi\rthere\r\n";
    let out = sign(content.as_bytes());
    let entity = "Content-Type: text/plain;\r\n charset=utf-8\r\ncontent-language: de\r\n\r\nhi\r\nthere\r\n";
    let header = "Received: x\r\nFrom: Firm <invoices@FIRM.example>\r\nSubject: s\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\r\n micalg=sha-256;";
    assert!(out.starts_with(header), "{out}");
    assert!(out.contains(&format!("\r\n{entity}\r\n--smime-")), "{out}");
    assert!(out.split("\r\n").all(|line| line.len() <= 78), "{out}");
    let parsed = mail_parser::MessageParser::default().parse(out.as_bytes()).unwrap();
    let [part] = parsed.attachments().collect::<Vec<_>>()[..] else { panic!("one signature: {out}") };
    let info = der::Decode::from_der(part.contents());
    let info: ::cms::content_info::ContentInfo = info.unwrap();
    let data: ::cms::signed_data::SignedData = info.content.decode_as().unwrap();
    let signer = &data.signer_infos.0.as_slice()[0];
    let values: Vec<_> = signer
        .signed_attrs
        .iter()
        .flat_map(|all| all.iter())
        .map(|a| a.values.as_slice()[0].value().to_vec())
        .collect();
    assert!(values.iter().any(|value| value == digest(&SHA256, entity.as_bytes()).as_ref()));
    assert!(values.iter().any(|value| value == b"261122060000Z"), "{values:?}");
    assert_eq!(data.certificates.unwrap().0.len(), 1);
}

#[test]
fn eight_bits_are_encoded_first() {
    let out = sign(
        "From: invoices@firm.example\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGr\u{fc}\u{df}e\r\n"
            .as_bytes(),
    );
    assert!(out.is_ascii() && out.contains("\r\n\r\nGr=C3=BC=C3=9Fe\r\n\r\n--smime-"), "{out}");
    assert_eq!(out.matches("MIME-Version").count(), 1);
}

#[test]
fn signs_what_is_from_the_address_alone() {
    for content in [
        "From: other@firm.example\r\n\r\nhi\r\n",
        "From: invoices@firm.example, other@firm.example\r\n\r\nhi\r\n",
        "Subject: x\r\n\r\nhi\r\n",
        "From: invoices@firm.example\r\nContent-Type: multipart/signed; boundary=b\r\n\r\nhi\r\n",
        "From: invoices@firm.example\r\nContent-Type: multipart/report; boundary=b\r\n\r\nhi\r\n",
        "From: invoices@firm.example\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n",
    ] {
        assert_eq!(sign(content.as_bytes()), content);
    }
}

#[test]
fn shows_no_key() {
    assert_eq!(format!("{:?}", signers().0[0].1), "CmsSigner { address: \"Invoices@firm.example\", .. }");
}

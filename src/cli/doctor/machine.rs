//! The facts of this machine that are judged.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;

use crate::config::{Config, Identity, UpstreamKind};
use crate::control::view::StatusJson;
use crate::doctor::{Deadline, Diagnosis, Disk, judge_clock, judge_deadline, judge_disk, judge_mode};
use crate::oauth::sign_in_deadlines;
use crate::time::{Clock, SystemClock};

/// Judges what ends, the disk, the clock and the modes. `status` is what a running relay says.
pub(super) fn judge(config: &Config, status: Option<&StatusJson>) -> Vec<Diagnosis> {
    let now = SystemClock.wall();
    let mut found: Vec<Diagnosis> = Vec::new();
    for deadline in deadlines(config, status) {
        found.extend(judge_deadline(&deadline, now));
    }
    let path = config.data_dir.display().to_string();
    if let Some(free) = free(&config.data_dir) {
        found.extend(judge_disk(&Disk { path: path.clone(), free, needed: config.queue.min_free_disk.0 }));
    }
    found.extend(judge_clock(now, newest(&config.data_dir)));
    if let Ok(facts) = std::fs::metadata(&config.data_dir) {
        found.extend(judge_mode(&path, facts.permissions().mode()));
    }
    found
}

fn deadlines(config: &Config, status: Option<&StatusJson>) -> Vec<Deadline> {
    let mut all = Vec::new();
    for sign_in in &config.sign_ins {
        let known =
            status.and_then(|status| status.sign_ins.iter().find(|known| known.name == *sign_in.name));
        let renewed = known.and_then(|known| known.renewed_at.as_ref()?.parse().ok());
        for ends in sign_in_deadlines(sign_in, renewed) {
            let subject = format!("oauth {}", sign_in.name);
            all.push(Deadline { subject, what: ends.what.to_owned(), at: ends.at, action: ends.action });
        }
    }
    let mut certificate = |subject: String, what: &str, at: Option<Timestamp>| {
        let action = format!("renew it, and reload: the files of {subject} are read again then");
        all.extend(at.map(|at| Deadline { subject, what: what.to_owned(), at, action }));
    };
    for listener in &config.listeners {
        let at = listener.tls.as_ref().and_then(|tls| tls.identity.expires());
        certificate(format!("listener {}", listener.address), "certificate", at);
    }
    for entry in &config.smime {
        certificate(format!("smime {}", entry.address), "certificate", entry.identity.expires());
    }
    for upstream in &config.upstreams {
        if let UpstreamKind::Smtp(smtp) = &upstream.kind {
            let at = smtp.tls.identity.as_ref().and_then(Identity::expires);
            certificate(format!("upstream {}", upstream.name), "client certificate", at);
        }
    }
    all
}

/// What is free where the data is, or will be.
fn free(data_dir: &Path) -> Option<u64> {
    let disk = data_dir.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok())?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// When something was last written there.
fn newest(data_dir: &Path) -> Option<Timestamp> {
    let entries = std::fs::read_dir(data_dir).ok()?;
    let written = |entry: std::io::Result<std::fs::DirEntry>| -> Option<SystemTime> {
        entry.ok()?.metadata().ok()?.modified().ok()
    };
    entries.filter_map(written).max().and_then(|time| Timestamp::try_from(time).ok())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test writes plain files")]
    fn every_certificate_has_its_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["relay.example".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::Rfc822Name("a@firm.example".try_into().unwrap()));
        params.not_after = rcgen::date_time_ymd(2199, 6, 30);
        std::fs::write(folder.path().join("a.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(folder.path().join("a.key"), key.serialize_pem()).unwrap();
        let text = "[[listener]]\ntls = \"starttls\"\ncertificate = \"a.pem\"\nkey = \"a.key\"\n[[upstream]]\nname = \"up\"\n\
            host = \"smtp.firm.example\"\nclient_certificate = \"a.pem\"\nclient_key = \"a.key\"\n\
            [[smime]]\naddress = \"a@firm.example\"\ncertificate = \"a.pem\"\nkey = { file = \"a.key\" }\n";
        let config = Config::from_toml(text, folder.path()).unwrap().config;
        let found = deadlines(&config, None);
        let subjects: Vec<&str> = found.iter().map(|deadline| deadline.subject.as_str()).collect();
        assert_eq!(subjects, ["listener 127.0.0.1:2525", "smime a@firm.example", "upstream up"]);
        assert!(found.iter().all(|deadline| deadline.at.to_string().starts_with("2199-06-30")));
    }
}

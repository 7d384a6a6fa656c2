//! Contents whose body goes from its file, block by block.

use std::fs::File;
use std::os::unix::fs::FileExt;

use mailsluice::content::{ContentError, READ_BLOCK, SplitContent};
use mailsluice::mail::QueueId;
use mailsluice::store::Upload;

use super::support::upstream::{Act, Script, Step};
use super::{connected, recipients, send_content, verdicts};

const HEAD: &str = "From: a@firm.example\r\n.Odd: 1\r\n\r\n";

/// A content in a file, and where that is.
async fn in_a_file(folder: &tempfile::TempDir, body: &[u8]) -> (SplitContent, File) {
    let id = QueueId::new(1, 1);
    let mut upload = Upload::new(folder.path(), &id);
    upload.write([HEAD.as_bytes(), body].concat()).await.unwrap();
    let content = upload.finish().await.unwrap();
    content.keep();
    let split = content.split().await.unwrap().unwrap();
    assert!(split.body().octets().is_none() || body.is_empty(), "it stays where it is");
    (split, File::options().write(true).open(folder.path().join(id.as_str())).unwrap())
}

/// Lines that begin with dots, so many octets.
fn dots(octets: usize) -> Vec<u8> {
    let mut body: Vec<u8> = b"..x\r\n.\r\nabcdefghi\r\n".iter().copied().cycle().take(octets - 2).collect();
    // CRs before a line end belong to it: one that the cut has left alone would go.
    if let Some(last) = body.last_mut().filter(|last| **last == b'\r') {
        *last = b'z';
    }
    body.extend_from_slice(b"\r\n");
    body
}

#[tokio::test(start_paused = true)]
async fn every_octet_arrives() {
    for size in [2, 40_000, READ_BLOCK - 1, READ_BLOCK, READ_BLOCK + 1, 3 * READ_BLOCK + 17] {
        let folder = tempfile::tempdir().unwrap();
        let body = dots(size);
        let (content, _) = in_a_file(&folder, &body).await;
        let (upstream, mut connection) = connected(Script::default()).await;
        for _ in 0..2 {
            let result = send_content(&mut connection, &recipients(2), &content).await.unwrap();
            assert_eq!(verdicts(&result), "SS");
        }
        let want = [HEAD.as_bytes(), &body].concat();
        for seen in upstream.messages() {
            assert!(seen.taken && seen.content == want, "{size}: {} of {}", seen.content.len(), want.len());
        }
        let other = content.with_head(b"X: y\r\n\r\n".to_vec());
        send_content(&mut connection, &recipients(1), &other).await.unwrap();
        assert_eq!(upstream.messages()[2].content, [b"X: y\r\n\r\n", &body[..]].concat());
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_changed_on_the_way_never_ends_as_a_message() {
    type Change = fn(&File);
    let changes: [(&str, Change); 4] = [
        ("an octet of the first block", |file| file.write_all_at(b"?", 1_000).unwrap()),
        ("an octet of the last block", |file| file.write_all_at(b"?", 700_000).unwrap()),
        ("cut between blocks", |file| file.set_len((HEAD.len() + READ_BLOCK) as u64).unwrap()),
        ("cut", |file| file.set_len(699_999).unwrap()),
    ];
    for (name, change) in changes {
        let folder = tempfile::tempdir().unwrap();
        let (content, file) = in_a_file(&folder, &dots(700_100)).await;
        let (upstream, mut connection) = connected(Script::default()).await;
        change(&file);
        let error = send_content(&mut connection, &recipients(2), &content).await.unwrap_err();
        assert!(error.is_damage(), "{name}: {error}");
        assert_eq!(name.starts_with("cut"), matches!(error, ContentError::Cut { .. }), "{name}: {error}");
        assert!(!connection.is_reusable() && !connection.is_dot_under_way(), "{name}");
        drop(connection);
        tokio::task::yield_now().await;
        assert!(upstream.messages().iter().all(|seen| !seen.taken), "{name}: {:?}", upstream.messages());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_the_middle_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (content, _) = in_a_file(&folder, &dots(4 << 20)).await;
    let script = Script::default().with(Step::Content, Act::ReplyAndDrop(552, "5.3.4 too much".to_owned()));
    let (_upstream, mut connection) = connected(script).await;
    let result = send_content(&mut connection, &recipients(1), &content).await.unwrap();
    assert_eq!(verdicts(&result), "B");
}

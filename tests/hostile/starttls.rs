//! What is said before TLS has begun never counts as said inside of it. (Guard: `Channel::secure` forgets the input,
//! `Dialogue::secure` forgets the dialogue.)

use crate::path::{Path, Way};
use mailsluice::config::TlsMode;

/// Commands that somebody between client and relay puts behind STARTTLS, in the clear.
#[tokio::test(start_paused = true)]
async fn injected_commands_are_forgotten() {
    for injected in [
        "NOOP\r\n",
        "RSET\r\n",
        "EHLO evil.example\r\nMAIL FROM:<evil@evil.example>\r\nRCPT TO:<victim@dest.example>\r\n",
        "MAIL FROM:<evil@evil.example>\r\n",
        "AUTH PLAIN AGFubmEAc2VjcmV0\r\n",
        "QUIT\r\n",
        "NO",
        "\r\n",
    ] {
        let path = Path::lax().await;
        let mut client = path.connect();
        client.ask(b"EHLO x\r\n", 220).await;
        client.ask(format!("STARTTLS\r\n{injected}").as_bytes(), 250).await;
        client.ask(b"", 220).await;
        let mut client = Path::secure(client).await;
        // The first reply belongs to the first command inside, and all that was said before is forgotten.
        client.send(b"MAIL FROM:<a@firm.example>\r\n").await;
        let reply = client.reply().await;
        assert!(reply.starts_with("503 5.5.1 say EHLO first"), "{injected:?}: {reply}");
        client
            .send(b"EHLO x\r\nSTARTTLS\r\nRCPT TO:<c@d>\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nQUIT\r\n")
            .await;
        assert_eq!(client.codes().await, [250, 503, 503, 250, 250, 221], "{injected:?}");
    }
}

/// A login, a sender, and a name from before are gone.
#[tokio::test(start_paused = true)]
async fn nothing_outlasts_the_handshake() {
    let path = Path::lax().await;
    let mut client = path.connect();
    client.ask(b"EHLO x\r\n", 220).await;
    client.ask(b"AUTH PLAIN AGFubmEAc2VjcmV0\r\n", 250).await;
    client.ask(b"STARTTLS\r\n", 235).await;
    client.ask(b"", 220).await;
    let mut client = Path::secure(client).await;
    client.ask(b"EHLO x\r\n", 250).await;
    // Logged in anew: there is no user from before.
    client.ask(b"AUTH PLAIN AGFubmEAc2VjcmV0\r\n", 235).await;
    client.ask(b"AUTH PLAIN AGFubmEAc2VjcmV0\r\n", 503).await;
}

/// A message under way is no time to begin TLS, and a second time there is none.
#[tokio::test(start_paused = true)]
async fn only_once_and_between_messages() {
    let path = Path::lax().await;
    let mut client = path.connect();
    client.ask(b"STARTTLS\r\n", 503).await;
    client.ask(b"EHLO x\r\nMAIL FROM:<a@b>\r\nSTARTTLS\r\n", 503).await;
    client.ask(b"STARTTLS now\r\n", 501).await;
    let mut client = path.connect_by(Way { tls: Some(TlsMode::StartTls), login: false }).await;
    client.ask(b"STARTTLS\r\n", 503).await;
    client.ask(b"NOOP\r\n", 250).await;
}

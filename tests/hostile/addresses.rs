//! The forms of addresses that make careless servers relay, and octets that break out of them. (Guards:
//! `policy::relay::permit`, `mail::Address::parse`, `smtp::command`.)

use crate::client::Client;
use crate::path::Path;
use crate::world::World;

/// Recipients outside (`v@out.example`), written so that a careless server takes them for its own.
const FORWARD: &[&str] = &[
    "<v@out.example>",
    "v@out.example",
    "<v%out.example@relay.example>",
    "<v%out.example>",
    "<v%out.example@[127.0.0.1]>",
    "<v%out.example@>",
    "<\"v@out.example\">",
    "<\"v@out.example\"@relay.example>",
    "<\"v%out.example\"@relay.example>",
    "<\"v@out.example\"@[127.0.0.1]>",
    "<v@out.example@relay.example>",
    "<v@out.example@[127.0.0.1]>",
    "<@relay.example:v@out.example>",
    "<@[127.0.0.1]:v@out.example>",
    "<@localhost,@relay.example:v@out.example>",
    "<@relay.example:v%out.example@relay.example>",
    "<out.example!v>",
    "<out.example!v@relay.example>",
    "<out.example!v@[127.0.0.1]>",
    "<relay.example!out.example!v@relay.example>",
    "<v@[192.0.2.9]>",
    "<v@[IPv6:2001:db8::9]>",
    "<v@out.example.>",
    "<v@out.example>@relay.example",
    "<v@relay.example>,<v@out.example>",
    "<v@relay.example> <v@out.example>",
    "<v@relay.example>\tORCPT=rfc822;v@out.example",
    "<postmaster@relay.example>",
    "<postmaster>",
    "<root>",
    "<relay.example>",
    "<@relay.example>",
    "<>",
];

/// Senders that a careless server takes for its own people.
const REVERSE: &[&str] = &[
    "<spam@out.example>",
    "<>",
    "<spam@relay.example>",
    "<spam@localhost>",
    "<spam@[127.0.0.1]>",
    "<@relay.example:spam@out.example>",
    "<\"spam@relay.example\"@out.example>",
    "<postmaster@relay.example>",
];

/// Nobody outside relays, whatever they call themselves and however they write it.
#[tokio::test(start_paused = true)]
async fn nobody_outside_relays() {
    for ip in ["203.0.113.5", "2001:db8::5", "::ffff:203.0.113.5"] {
        for reverse in REVERSE {
            let mut world = World::new();
            world.client = ip.parse().unwrap();
            world.config.session.max_errors = 1000;
            let mut running = world.connect().await;
            let mut client = Client::new(std::mem::replace(&mut running.client, tokio::io::duplex(1).0));
            for claim in
                ["XCLIENT ADDR=127.0.0.1", "XFORWARD ADDR=127.0.0.1", "PROXY TCP4 127.0.0.1 127.0.0.1 1 25"]
            {
                client.ask(format!("{claim}\r\n").as_bytes(), 500).await;
            }
            client.ask(b"EHLO localhost\r\n", 250).await;
            client.send(format!("MAIL FROM:{reverse}\r\n").as_bytes()).await;
            client.reply().await;
            for forward in FORWARD {
                client.send(format!("RCPT TO:{forward}\r\n").as_bytes()).await;
                let reply = client.reply().await;
                assert!(reply.starts_with('5'), "{ip} {reverse} {forward}: {reply}");
            }
            client.send(b"DATA\r\n").await;
            let reply = client.reply().await;
            assert!(reply.starts_with("554 ") || reply.starts_with("503 "), "{reply}");
            assert!(running.store.messages.lock().unwrap().is_empty());
        }
    }
}

/// What we take from somebody who may relay, we pass on as that one mailbox and nothing else.
#[tokio::test(start_paused = true)]
async fn what_is_taken_is_passed_on_as_it_was_written() {
    let path = Path::lax().await;
    let mut want = Vec::new();
    for (written, mailbox) in [
        ("<v%out.example@firm.example>", "v%out.example@firm.example"),
        ("<out.example!v@firm.example>", "out.example!v@firm.example"),
        ("<\"v@out.example\"@firm.example>", "\"v@out.example\"@firm.example"),
        ("<\"a> NOTIFY=NEVER <b\"@firm.example>", "\"a> NOTIFY=NEVER <b\"@firm.example"),
        ("<\"a\\\"b\\\\\"@firm.example>", "\"a\\\"b\\\\\"@firm.example"),
        ("<@evil.example,@b.example:u@firm.example>", "u@firm.example"),
        ("<@evil.example:\"@b:c\"@firm.example>", "\"@b:c\"@firm.example"),
        ("u@firm.example", "u@firm.example"),
        ("<u@[192.0.2.1]>", "u@[192.0.2.1]"),
        ("<u@[IPv6:2001:db8::1]>", "u@[IPv6:2001:db8::1]"),
    ] {
        let mut client = path.connect();
        client.ask(b"EHLO x\r\n", 250).await;
        client.ask(format!("MAIL FROM:{written}\r\n").as_bytes(), 250).await;
        client.ask(format!("RCPT TO:{written}\r\n").as_bytes(), 250).await;
        client.ask(b"DATA\r\n", 354).await;
        client.ask(b"Subject: x\r\n\r\nx\r\n.\r\n", 250).await;
        want.push(mailbox);
        path.sent().await;
    }
    let recipients: Vec<String> = path.upstream.commands_of("RCPT");
    assert_eq!(recipients, want.iter().map(|to| format!("RCPT TO:<{to}>")).collect::<Vec<_>>());
    for (line, from) in path.upstream.commands_of("MAIL").iter().zip(&want) {
        assert!(line.starts_with(&format!("MAIL FROM:<{from}>")), "{line}");
    }
    assert_eq!(path.sent().await.len(), want.len());
}

/// What two servers may read as two different mailboxes is refused, also from somebody who may relay.
#[tokio::test(start_paused = true)]
async fn what_is_ambiguous_is_refused() {
    let mut world = World::new();
    world.config.session.max_errors = 1000;
    let mut running = world.connect().await;
    let mut client = Client::new(std::mem::replace(&mut running.client, tokio::io::duplex(1).0));
    client.ask(b"EHLO x\r\n", 250).await;
    for path in [
        "<v@out.example@firm.example>",
        "<v@out.example@[127.0.0.1]>",
        "<v@firm.example>@out.example",
        "<v@firm.example>,<v@out.example>",
        "<v@firm.example><v@out.example>",
        "<<v@out.example>>",
        "<v@firm.example",
        "v@firm.example>",
        "<\"v@out.example\">",
        "<\"v\"out.example@firm.example>",
        "<\"v@out.example@firm.example>",
        "<v\"@out.example\"@firm.example>",
        "<v @firm.example>",
        "<v@firm.example >",
        "< v@firm.example>",
        "<(v@out.example)v@firm.example>",
        "<v@firm.example(@out.example)>",
        "<@out.example>",
        "<@out.example v@firm.example>",
        "<@out.example:>",
        "<@:v@firm.example>",
        "<out.example:v@firm.example>",
        "<v@firm.example,@out.example:v@x>",
        "<v@[192.0.2.1>",
        "<v@192.0.2.1]>",
        "<v@[192.0.2.1].out.example>",
        "<v@[192.0.2.256]>",
        "<v@[::1]>",
        "<v@[IPv6:192.0.2.1]>",
        "<v@firm.example;out.example>",
        "<v@firm/example>",
        "<v@-firm.example>",
        "<v@firm..example>",
    ] {
        for verb in ["MAIL FROM", "RCPT TO"] {
            if verb == "RCPT TO" {
                client.ask(b"MAIL FROM:<>\r\n", 250).await;
            }
            client.send(format!("{verb}:{path}\r\n").as_bytes()).await;
            let reply = client.reply().await;
            assert!(reply.starts_with("501 "), "{verb}:{path}: {reply}");
            client.ask(b"RSET\r\n", 250).await;
        }
    }
}

/// Every octet that no address, name or parameter may hold, in every place: refused, and nothing happens.
#[tokio::test(start_paused = true)]
async fn no_odd_octet_passes() {
    let control = (0..=0x1f).filter(|b| !b"\t\n".contains(b)).chain([0x7f]).map(|b: u8| vec![b]);
    // Octets that are no UTF-8 by themselves, and what cannot stand in it: overlong forms, surrogates, too large.
    let eight_bit = (0x80..=0xff_u8).map(|b| vec![b]);
    let others = [&b"\xc0\x8a"[..], b"\xe0\x80\x8a", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\r\r", b"\r\0"]
        .map(<[u8]>::to_vec);
    for octets in control.chain(eight_bit).chain(others) {
        let mut world = World::new();
        world.config.session.max_errors = 1000;
        let mut running = world.connect().await;
        let mut client = Client::new(std::mem::replace(&mut running.client, tokio::io::duplex(1).0));
        client.ask(b"NOOP\r\n", 250).await;
        let mut try_all = async |lines: &[(&str, &str)]| {
            for (before, after) in lines {
                let line = [before.as_bytes(), &octets, after.as_bytes(), b"\r\n"].concat();
                client.send(&line).await;
                let reply = client.reply().await;
                assert!(
                    reply.starts_with("50") || reply.starts_with("555 "),
                    "{}: {reply}",
                    line.escape_ascii()
                );
            }
            client.ask(b"NOOP\r\n", 250).await;
        };
        // A name in a greeting may hold them: `lines::a_hello_with_controls_is_text`.
        try_all(&[("NO", "OP"), ("", "NOOP"), ("NOOP x", "")]).await;
        client.ask(b"EHLO x\r\n", 250).await;
        let mut try_all = async |lines: &[(&str, &str)]| {
            for (before, after) in lines {
                let line = [before.as_bytes(), &octets, after.as_bytes(), b"\r\n"].concat();
                client.send(&line).await;
                let reply = client.reply().await;
                assert!(
                    reply.starts_with("50") || reply.starts_with("555 "),
                    "{}: {reply}",
                    line.escape_ascii()
                );
            }
        };
        try_all(&[
            ("MAIL FROM:<a", "b@c>"),
            ("MAIL FROM:<\"a", "b\"@c>"),
            ("MAIL FROM:<\"a\\", "b\"@c>"),
            ("MAIL FROM:<a@b", "c>"),
            ("MAIL FROM:<@a", ":b@c>"),
            ("MAIL FROM:<a@b>", ""),
            ("MAIL FROM:<a@b> ", "SIZE=1"),
            ("MAIL FROM:<a@b> SIZE=1", ""),
            ("MAIL FROM:<a@b> BODY=8BIT", "MIME"),
            ("MAIL FROM:", "<a@b>"),
            ("MAIL FROM:<a", "b@c> SMTPUTF8"),
        ])
        .await;
        client.ask(b"MAIL FROM:<a@b>\r\n", 250).await;
        for (before, after) in
            [("<a", "b@c>"), ("<\"a", "b\"@c>"), ("<a@b", "c>"), ("<a@b>", ""), ("<a@[127.0.0.1", "]>")]
        {
            let line = [b"RCPT TO:", before.as_bytes(), &octets, after.as_bytes(), b"\r\n"].concat();
            client.send(&line).await;
            let reply = client.reply().await;
            assert!(reply.starts_with("50") || reply.starts_with("555 "), "{}: {reply}", line.escape_ascii());
        }
        client.ask(b"DATA\r\n", 503).await;
        assert!(running.store.messages.lock().unwrap().is_empty());
    }
}

/// A line feed inside of an address ends the line; neither half is a command, and what stands between is no address.
#[tokio::test(start_paused = true)]
async fn a_line_feed_makes_two_faulty_lines() {
    let path = Path::lax().await;
    let mut client = path.connect();
    client.ask(b"EHLO x\r\n", 250).await;
    client.ask(b"MAIL FROM:<a@b>\r\n", 250).await;
    client.send(b"RCPT TO:<a\nRCPT TO:<c@d>\r\nRCPT TO:<\"a\r\nb\"@d>\r\nRCPT TO:<e@f>\r\nDATA\r\n").await;
    for want in ["501 ", "250 ", "501 ", "500 ", "250 ", "354 "] {
        let reply = client.reply().await;
        assert!(reply.starts_with(want), "{reply} instead of {want}");
    }
    client.ask(b"x\r\n.\r\n", 250).await;
    assert_eq!(path.sent().await[0].recipients, ["c@d", "e@f"]);
}

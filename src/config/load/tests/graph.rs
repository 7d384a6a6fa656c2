//! Upstreams by Microsoft Graph.

use super::*;
use crate::config::{Graph, GraphMailbox};

const SIGN_IN: &str = "[[oauth]]\nname = \"m365\"\nprovider = \"microsoft\"\ntenant = \"firm.example\"\nclient_id = \"7d3a\"\n\
    flow = \"device_code\"\n";

fn graph(upstream: &Upstream) -> &Graph {
    match &upstream.kind {
        UpstreamKind::Graph(graph) => graph,
        _ => panic!("{} is not by Graph", upstream.name),
    }
}

#[test]
fn a_preset_says_all_but_the_mailbox() {
    let text = "[[upstream]]\nname = \"a\"\npreset = \"office365-graph\"\nmailbox = \"office@firm.example\"\n\
        oauth = \"m365\"\n";
    let loaded = loaded(&format!("{text}{SIGN_IN}"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let upstream = &loaded.config.upstreams[0];
    let [login] = upstream.accounts.as_slice() else { panic!("one login") };
    assert_eq!((login.name(), login.oauth.as_deref()), ("office@firm.example", Some("m365")));
    assert_eq!((login.limits.connections, upstream.sign), (4, false));
    assert_eq!(upstream.message_size(), Some(ByteSize(3_000_000)));
    assert_eq!(upstream.kind.remote(), Some(("graph.microsoft.com", 443)));
    let graph = graph(upstream);
    assert_eq!(graph.mailbox, GraphMailbox::Address(Address::parse("office@firm.example").unwrap()));
    assert_eq!((graph.large.as_deref(), graph.preset), (None, Some("office365-graph")));
}

#[test]
fn reads_every_key() {
    let text = "[[upstream]]\nname = \"a\"\nkind = \"graph\"\nmailbox = \"from\"\nfilter = [\"firm.example\"]\n\
        oauth = \"m365\"\nbase_url = \"http://127.0.0.1:8025\"\nlarge = \"SMTP\"\nsign = true\n\
        proxy = \"http://192.0.2.4:3128\"\n\
        [upstream.timeouts]\nconnect = \"9s\"\nfinal_dot = \"66s\"\n\
        [[upstream]]\nname = \"Smtp\"\nhost = \"h\"\ndefault = true\n";
    let loaded = loaded(&format!("{text}{SIGN_IN}"));
    let upstream = &loaded.config.upstreams[0];
    assert_eq!((upstream.accounts[0].name(), upstream.sign), ("", true));
    let graph = graph(upstream);
    assert_eq!((&graph.mailbox, graph.large.as_deref()), (&GraphMailbox::From, Some("Smtp")));
    assert_eq!((graph.host(), graph.port()), ("127.0.0.1", 8025));
    assert_eq!(graph.timeouts.connect, Duration::from_secs(9));
    assert_eq!(graph.timeouts.final_dot, Duration::from_secs(66));
    assert!(graph.proxy.is_some());
}

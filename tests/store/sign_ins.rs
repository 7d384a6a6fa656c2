//! What people's sign-ins gave lasts.

use mailsluice::store::*;
use mailsluice::time::Moment;

use crate::World;

fn new(client: &str, token: &[u8], change: GrantChange) -> NewGrant {
    let token = StoredToken(token.to_vec());
    NewGrant { sign_in: "m365".to_owned(), client: client.to_owned(), token, change }
}

pub(crate) async fn a_grant_lasts_and_its_token_is_replaced(mut world: impl World) {
    assert_eq!(world.store().grants().await.unwrap(), []);
    let account = Some("Chief@firm.example".to_owned());
    let signed_in = GrantChange::SignedIn { account: account.clone() };
    world.store().save_grant(new("c", b"\0one", signed_in)).await.unwrap();
    let want = |token: &[u8], renewed| StoredGrant {
        sign_in: "m365".to_owned(),
        client: "c".to_owned(),
        account: account.clone(),
        token: StoredToken(token.to_vec()),
        granted: Moment(1_000_000),
        renewed: Moment(renewed),
    };
    world.crash();
    assert_eq!(world.store().grants().await.unwrap(), [want(b"\0one", 1_000_000)]);
    for (change, token, renewed) in [
        (GrantChange::Renewed, &b"two"[..], 1_000_010),
        (GrantChange::Rewritten, b"three", 1_000_010),
        (GrantChange::Renewed, b"four", 1_000_030),
    ] {
        world.clock().pass(10);
        let saved = world.store().save_grant(new("c", token, change)).await.unwrap();
        assert_eq!(saved, want(token, renewed));
        world.crash();
        assert_eq!(world.store().grants().await.unwrap(), [saved]);
    }
}

pub(crate) async fn a_sign_in_begins_anew(world: impl World) {
    let store = world.store();
    let signed_in = |account: &str| GrantChange::SignedIn { account: Some(account.to_owned()) };
    store.save_grant(new("c", b"one", signed_in("a@firm.example"))).await.unwrap();
    world.clock().pass(10);
    let other = NewGrant {
        sign_in: "other".to_owned(),
        ..new("c", b"else", GrantChange::SignedIn { account: None })
    };
    store.save_grant(other).await.unwrap();
    let anew = store.save_grant(new("d", b"two", signed_in("b@firm.example"))).await.unwrap();
    assert_eq!((anew.client.as_str(), anew.account.as_deref()), ("d", Some("b@firm.example")));
    assert_eq!((anew.granted, anew.renewed), (Moment(1_000_010), Moment(1_000_010)));
    let names: Vec<_> = store.grants().await.unwrap().into_iter().map(|grant| grant.sign_in).collect();
    assert_eq!(names, ["m365", "other"]);
    assert!(
        !format!("{:?}", store.grants().await.unwrap()).contains("116"),
        "no octets of a token are shown"
    );
}

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::node::Node;
use crate::pki::Signed;
use crate::port::Port;
use crate::states::ProvisionState;

fn named(name: &str) -> Node {
    Node { name: Some(name.into()), ..Node::new("manual") }
}

fn store_with(nodes: &[&Node]) -> Store {
    let store = Store::in_memory().unwrap();
    let create = |tx: &Tx<'_>| nodes.iter().try_for_each(|node| tx.create_node(node));
    store.transact::<_, StoreError>(create).unwrap();
    store
}

#[test]
fn a_file_keeps_what_was_committed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tacit.sqlite");
    let (kept, lost) = (named("kept"), named("lost"));
    {
        let store = Store::open(&path).unwrap();
        store.transact::<_, StoreError>(|tx| tx.create_node(&kept)).unwrap();
        let failed = store.transact(|tx| {
            tx.create_node(&lost)?;
            Err::<(), _>(StoreError::Missing { what: "test", ident: "x".into() })
        });
        assert!(failed.is_err());
    }
    let store = Store::open(&path).unwrap();
    assert_eq!(store.nodes().unwrap(), vec![kept]);
}

#[test]
fn a_newer_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tacit.sqlite");
    drop(Store::open(&path).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Newer { found: 99, .. })));
}

#[test]
fn readers_of_a_file_do_not_wait_for_a_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("tacit.sqlite")).unwrap();
    let node = named("n1");
    store
        .transact::<_, StoreError>(|tx| {
            tx.create_node(&node)?;
            // The same thread holds the writer: waiting for it here would never end.
            assert!(store.nodes()?.is_empty());
            Ok(())
        })
        .unwrap();
    assert_eq!(store.nodes().unwrap().len(), 1);
}

#[test]
fn names_instances_and_addresses_are_unique_and_the_error_says_which() {
    let mut a = named("a");
    a.instance_uuid = Some(Uuid::new_v4());
    let b = named("b");
    let store = store_with(&[&a, &b]);
    let conflict = |result: Result<(), StoreError>| match result {
        Err(StoreError::Conflict { what, value }) => (what, value),
        other => panic!("{other:?}"),
    };
    assert_eq!(conflict(store.transact(|tx| tx.create_node(&named("a")))), ("node name", "a".into()));
    let mut renamed = b.clone();
    renamed.name = Some("a".into());
    assert_eq!(conflict(store.transact(|tx| tx.save_node(&mut renamed))), ("node name", "a".into()));
    let mut same_instance = b.clone();
    same_instance.instance_uuid = a.instance_uuid;
    assert_eq!(conflict(store.transact(|tx| tx.save_node(&mut same_instance))).0, "instance UUID");
    assert_eq!(conflict(store.transact(|tx| tx.create_node(&a))).0, "node UUID");

    let port = Port::new(a.uuid, "52:54:00:aa:00:01".into());
    store.transact::<_, StoreError>(|tx| tx.create_port(&port)).unwrap();
    let again = Port::new(b.uuid, port.address.clone());
    assert_eq!(conflict(store.transact(|tx| tx.create_port(&again))).0, "MAC address");
    let found = store.read(|tx| tx.port_by_ident("52-54-00-AA-00-01")).unwrap();
    assert_eq!(found, Some(port));
}

#[test]
fn only_a_change_of_state_moves_provision_updated_at() {
    let mut node = named("n1");
    let store = store_with(&[&node]);
    node.description = Some("text".into());
    store.transact::<_, StoreError>(|tx| tx.save_node(&mut node)).unwrap();
    assert!(node.updated_at.is_some());
    assert_eq!(node.provision_updated_at, None);
    node.provision_state = ProvisionState::Verifying;
    store.transact::<_, StoreError>(|tx| tx.save_node(&mut node)).unwrap();
    assert_eq!(node.provision_updated_at, node.updated_at);
    assert_eq!(store.node_by_ident("n1").unwrap(), Some(node));
}

#[test]
fn history_keeps_the_newest_three_hundred_with_the_state_of_then() {
    let node = named("n1");
    let store = store_with(&[&node]);
    store
        .transact::<_, StoreError>(|tx| {
            for number in 0..310 {
                let new = NewHistory {
                    severity: Severity::Info,
                    event_type: "deployment_start".into(),
                    event: format!("event {number}"),
                };
                tx.add_history(node.uuid, new)?;
            }
            Ok(())
        })
        .unwrap();
    let entries = store.read(|tx| tx.history(node.uuid)).unwrap();
    assert_eq!(entries.len(), 300);
    assert_eq!(entries[0].event, "event 10");
    assert_eq!(entries[299].event, "event 309");
    assert_eq!(entries[0].state.as_deref(), Some("enroll"));
    let one = store.read(|tx| tx.history_entry(node.uuid, entries[7].uuid)).unwrap();
    assert_eq!(one.as_ref(), Some(&entries[7]));
}

#[test]
fn deleting_a_node_takes_everything_of_it_along() {
    let (node, other) = (named("n1"), named("n2"));
    let store = store_with(&[&node, &other]);
    store
        .transact::<_, StoreError>(|tx| {
            tx.create_port(&Port::new(node.uuid, "52:54:00:aa:00:01".into()))?;
            tx.create_port(&Port::new(other.uuid, "52:54:00:aa:00:02".into()))?;
            tx.set_inventory(node.uuid, &json!({"a": 1}), &json!({}))?;
            tx.set_inventory(node.uuid, &json!({"a": 2}), &json!({}))?;
            tx.put_doc("flow", node.uuid, &json!({"step": 1}))?;
            tx.put_doc("flow", node.uuid, &json!({"step": 2}))?;
            tx.put_doc("flow", other.uuid, &json!({"step": 3}))
        })
        .unwrap();
    assert_eq!(store.read(|tx| tx.inventory(node.uuid)).unwrap().unwrap().0, json!({"a": 2}));
    assert_eq!(store.doc::<serde_json::Value>("flow", node.uuid).unwrap(), Some(json!({"step": 2})));
    store.transact(|tx| tx.delete_node(node.uuid)).unwrap();
    assert_eq!(store.ports().unwrap().len(), 1);
    assert_eq!(store.read(|tx| tx.inventory(node.uuid)).unwrap(), None);
    let docs: Vec<(Uuid, serde_json::Value)> = store.docs("flow").unwrap();
    assert_eq!(docs, vec![(other.uuid, json!({"step": 3}))]);
    assert!(matches!(store.transact(|tx| tx.delete_node(node.uuid)), Err(StoreError::Missing { .. })));
}

#[test]
fn an_unreadable_statement_stands_in_no_others_way() {
    let node = named("n1");
    let store = store_with(&[&node]);
    let signed = |payload: &str| Signed {
        protected: String::new(),
        payload: payload.to_owned(),
        signature: String::new(),
    };
    // `{"operation":"a"}` and `{"operation":"b"}`
    let (first, second) = (signed("eyJvcGVyYXRpb24iOiJhIn0"), signed("eyJvcGVyYXRpb24iOiJiIn0"));
    let add = |statements: &[Signed]| store.transact(|tx| tx.add_erasures(node.uuid, statements)).unwrap();
    assert_eq!(add(std::slice::from_ref(&first)), 1);
    let rows = || {
        let count = |tx: &Tx<'_>| tx.rows("t", "SELECT id FROM erasures", [], |row| row.get::<_, i64>(0));
        store.read(count).unwrap().len()
    };
    let damage = "INSERT INTO erasures (node, record) VALUES (?1, '{')";
    store.transact(|tx| tx.change("t", damage, [node.uuid.to_string()])).unwrap();
    assert_eq!(add(&[]), 0);
    assert_eq!(add(&[first, second]), 1, "the first is known");
    assert_eq!(rows(), 3, "statements are never removed");
    // Whoever wants all of them hears that one is missing.
    assert!(matches!(store.read(|tx| tx.erasures(node.uuid)), Err(StoreError::Record { .. })));
}

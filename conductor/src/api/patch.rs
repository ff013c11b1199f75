//! JSON patch as Ironic allows it: add, replace, remove (API contract §2.3). Pure.

use serde_json::{Map, Value};

use super::fault::Fault;

/// One operation, its path split.
#[derive(Debug)]
pub(super) struct Operation {
    op: Op,
    pub(super) path: Vec<String>,
    value: Value,
    shown: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Add,
    Replace,
    Remove,
}

impl Operation {
    /// Whether this takes the thing at its path away.
    pub(super) fn removes(&self) -> bool {
        self.op == Op::Remove
    }
}

/// Reads the body of a PATCH request.
pub(super) fn parse(body: Value) -> Result<Vec<Operation>, Fault> {
    let schema = |text: String| Fault::invalid(format!("Schema error for patch: {text}"));
    let Value::Array(items) = body else {
        return Err(schema("the body is not of type 'array'".to_owned()));
    };
    items
        .into_iter()
        .map(|item| {
            let shown = item.to_string();
            let Value::Object(mut item) = item else {
                return Err(schema(format!("{shown} is not of type 'object'")));
            };
            let op = match item.remove("op") {
                Some(Value::String(op)) if op == "add" => Op::Add,
                Some(Value::String(op)) if op == "replace" => Op::Replace,
                Some(Value::String(op)) if op == "remove" => Op::Remove,
                Some(other) => {
                    return Err(schema(format!("{other} is not one of ['add', 'replace', 'remove']")));
                }
                None => return Err(schema("'op' is a required property".to_owned())),
            };
            let path = match item.remove("path") {
                Some(Value::String(path)) => {
                    split(&path).ok_or_else(|| schema(format!("'{path}' does not match '^(/[\\w-]+)+$'")))?
                }
                _ => return Err(schema("'path' is a required property".to_owned())),
            };
            let value = item.remove("value");
            if value.is_none() && op != Op::Remove {
                return Err(schema("'value' is a required property".to_owned()));
            }
            if let Some(extra) = item.keys().next() {
                return Err(schema(format!("'{extra}' was unexpected")));
            }
            Ok(Operation { op, path, value: value.unwrap_or_default(), shown })
        })
        .collect()
}

fn split(path: &str) -> Option<Vec<String>> {
    let word =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    let parts: Vec<String> = path.strip_prefix('/')?.split('/').map(str::to_owned).collect();
    parts.iter().all(|part| word(part)).then_some(parts)
}

/// Carries the operations out on `document`, in order. A removed root key is absent afterwards.
pub(super) fn apply(document: &mut Map<String, Value>, operations: Vec<Operation>) -> Result<(), Fault> {
    for operation in operations {
        let Operation { op, path, value, shown } = operation;
        one(document, op, &path, value)
            .map_err(|reason| Fault::invalid(format!("Couldn't apply patch '{shown}'. Reason: {reason}")))?;
    }
    Ok(())
}

/// What holds the thing at the end of a path.
enum Holder<'a> {
    Map(&'a mut Map<String, Value>),
    List(&'a mut Vec<Value>),
}

fn holder<'a>(document: &'a mut Map<String, Value>, parents: &[String]) -> Result<Holder<'a>, String> {
    let mut at = Holder::Map(document);
    for parent in parents {
        let next = match at {
            Holder::Map(map) => map.get_mut(parent),
            Holder::List(items) => parent.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
        };
        at = match next {
            Some(Value::Object(map)) => Holder::Map(map),
            Some(Value::Array(items)) => Holder::List(items),
            Some(_) => return Err(format!("member '{parent}' is neither object nor list")),
            None => return Err(format!("member '{parent}' not found")),
        };
    }
    Ok(at)
}

fn one(document: &mut Map<String, Value>, op: Op, path: &[String], value: Value) -> Result<(), String> {
    let (last, parents) = path.split_last().ok_or("empty path")?;
    let missing = || match op {
        Op::Remove => format!("can't remove a non-existent object '{last}'"),
        _ => format!("can't replace a non-existent object '{last}'"),
    };
    let map = match holder(document, parents)? {
        Holder::Map(map) => map,
        Holder::List(items) => return in_list(items, op, last, value).ok_or_else(missing),
    };
    if op != Op::Add && !map.contains_key(last) {
        return Err(missing());
    }
    if op == Op::Remove {
        // Not swap_remove: the order of the other keys is shown to people.
        map.shift_remove(last);
    } else {
        map.insert(last.clone(), value);
    }
    Ok(())
}

fn in_list(items: &mut Vec<Value>, op: Op, key: &str, value: Value) -> Option<()> {
    if key == "-" && op == Op::Add {
        items.push(value);
        return Some(());
    }
    let index: usize = key.parse().ok()?;
    match op {
        Op::Add if index <= items.len() => items.insert(index, value),
        Op::Replace if index < items.len() => items[index] = value,
        Op::Remove if index < items.len() => drop(items.remove(index)),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(document: &Value, patch: Value) -> Result<Value, String> {
        let mut map = document.as_object().unwrap().clone();
        let operations = parse(patch).map_err(|f| format!("{f:?}"))?;
        apply(&mut map, operations).map_err(|f| format!("{f:?}"))?;
        Ok(Value::Object(map))
    }

    #[test]
    fn operations_apply_in_order() {
        let document = json!({"extra": {"list": [1, 2]}, "name": "n1"});
        let patch = json!([
            {"op": "add", "path": "/extra/a", "value": {}},
            {"op": "add", "path": "/extra/a/b-c", "value": 1},
            {"op": "add", "path": "/extra/list/-", "value": 3},
            {"op": "remove", "path": "/extra/list/0"},
            {"op": "replace", "path": "/name", "value": "n2"},
        ]);
        let wanted = json!({"extra": {"list": [2, 3], "a": {"b-c": 1}}, "name": "n2"});
        assert_eq!(patched(&document, patch), Ok(wanted));
        assert_eq!(patched(&document, json!([])), Ok(document.clone()));
        assert_eq!(
            patched(&document, json!([{"op": "remove", "path": "/name"}])),
            Ok(json!({"extra": {"list": [1, 2]}}))
        );
    }

    #[test]
    fn what_is_not_allowed_is_refused() {
        let document = json!({"extra": {"text": "t", "list": []}});
        for patch in [
            json!({"op": "add"}),
            json!([1]),
            json!([{"path": "/extra/a", "value": 1}]),
            json!([{"op": "test", "path": "/extra", "value": 1}]),
            json!([{"op": "move", "path": "/extra", "from": "/x"}]),
            json!([{"op": "add", "path": "/extra/a"}]),
            json!([{"op": "add", "path": "/extra/a", "value": 1, "more": 2}]),
            json!([{"op": "add", "path": "extra", "value": 1}]),
            json!([{"op": "add", "path": "/extra/", "value": 1}]),
            json!([{"op": "add", "path": "/extra/a.b", "value": 1}]),
            json!([{"op": "add", "path": "/extra/a~1b", "value": 1}]),
            json!([{"op": "add", "path": "/extra/no/b", "value": 1}]),
            json!([{"op": "add", "path": "/extra/text/b", "value": 1}]),
            json!([{"op": "replace", "path": "/extra/no", "value": 1}]),
            json!([{"op": "remove", "path": "/extra/no"}]),
            json!([{"op": "remove", "path": "/extra/list/0"}]),
        ] {
            assert!(patched(&document, patch.clone()).is_err(), "{patch}");
        }
    }
}

//! Collections: which fields, which page, in which order (API contract §1.6).

use std::cmp::Ordering;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::call::Call;
use super::fault::Fault;
use super::version::Version;

/// A field and the version that brought it.
pub(super) type Fields = [(&'static str, u16)];

const MAX_LIMIT: usize = 1000;

/// Query arguments of every collection.
pub(super) const PAGING: [&str; 4] = ["limit", "marker", "sort_key", "sort_dir"];

/// Which fields an answer shows; `links` always.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Selection {
    All,
    These(Vec<String>),
}

impl Selection {
    /// From `fields` and `detail`; `default` where neither is given.
    pub(super) fn of(call: &Call, known: &Fields, default: Option<&[&str]>) -> Result<Self, Fault> {
        let detail = call.flag("detail")?.unwrap_or(false);
        if detail && call.version < Version(43) {
            return Err(Fault::too_new());
        }
        let Some(fields) = call.argument("fields") else {
            let listed = default.filter(|_| !detail);
            return Ok(listed.map_or(Self::All, |f| Self::These(f.iter().map(|f| (*f).to_owned()).collect())));
        };
        if detail {
            return Err(Fault::invalid("Can not specify ?detail=True and fields in the same request."));
        }
        if call.version < Version(8) {
            return Err(Fault::too_new());
        }
        let mut wanted: Vec<String> = Vec::new();
        for field in fields.split(',').map(|f| f.trim().to_ascii_lowercase()).filter(|f| !f.is_empty()) {
            if field != "links" {
                check_field(&field, known, call.version)?;
            }
            if !wanted.contains(&field) {
                wanted.push(field);
            }
        }
        Ok(Self::These(wanted))
    }

    /// What of `full` is shown, in the order of the table.
    pub(super) fn apply(
        &self,
        mut full: Map<String, Value>,
        known: &Fields,
        version: Version,
    ) -> Map<String, Value> {
        let shown = |field: &str| match self {
            Self::All => true,
            Self::These(fields) => fields.iter().any(|f| f == field),
        };
        let mut out = Map::new();
        for (field, since) in known {
            if version >= Version(*since)
                && shown(field)
                && let Some(value) = full.remove(*field)
            {
                out.insert((*field).to_owned(), value);
            }
        }
        if let Some(links) = full.remove("links") {
            out.insert("links".to_owned(), links);
        }
        out
    }
}

/// 400 for an unknown field, 406 for one newer than the request.
pub(super) fn check_field(field: &str, known: &Fields, version: Version) -> Result<(), Fault> {
    match known.iter().find(|(name, _)| *name == field) {
        None => Err(Fault::invalid(format!("Field {field} is not a valid field."))),
        Some((_, since)) if version < Version(*since) => Err(Fault::too_new()),
        Some(_) => Ok(()),
    }
}

/// A page of a sorted collection.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    next: Option<String>,
}

/// How a collection's items are told apart and ordered.
pub(super) struct Order<'a, T> {
    /// Name of one item in errors, `Node`.
    pub(super) what: &'a str,
    pub(super) id: &'a dyn Fn(&T) -> Uuid,
    pub(super) field: &'a dyn Fn(&T, &str) -> Value,
    pub(super) known: &'a Fields,
}

impl<T> Page<T> {
    /// Sorts `items` (given in the order of their creation) and cuts out the page that the request asks for.
    pub(super) fn of(
        call: &Call,
        mut items: Vec<T>,
        order: &Order<'_, T>,
        selection: &Selection,
    ) -> Result<Self, Fault> {
        let limit = limit(call)?;
        let descending = match call.argument("sort_dir") {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(other) => {
                return Err(Fault::invalid(format!(
                    "Invalid sort direction: {other}. Acceptable values are 'asc' or 'desc'"
                )));
            }
        };
        let sort_key = call.argument("sort_key").unwrap_or("id");
        if sort_key != "id" {
            sortable(sort_key, order.known, call.version)?;
            let key = |item: &T| (order.field)(item, sort_key);
            items.sort_by_cached_key(|item| Sorted(key(item)));
        }
        if descending {
            items.reverse();
        }
        let start = match call.argument("marker") {
            None => 0,
            Some(marker) => {
                let wanted = Uuid::try_parse(marker)
                    .map_err(|_| Fault::invalid(format!("Expected UUID for marker: {marker}")))?;
                let at = items.iter().position(|item| (order.id)(item) == wanted);
                at.ok_or_else(|| Fault::not_found(format!("{} {marker} could not be found.", order.what)))?
                    + 1
            }
        };
        let items: Vec<T> = items.into_iter().skip(start).take(limit).collect();
        let next = match items.last() {
            Some(last) if items.len() == limit => Some(next_url(call, limit, (order.id)(last), selection)),
            _ => None,
        };
        Ok(Self { items, next })
    }

    /// The answer, `next` only where the page is full.
    pub(super) fn answer(self, plural: &str, render: impl FnMut(T) -> Value) -> Value {
        let mut document = Map::new();
        document.insert(plural.to_owned(), self.items.into_iter().map(render).collect());
        if let Some(next) = self.next {
            document.insert("next".to_owned(), next.into());
        }
        Value::Object(document)
    }
}

/// How many items a page holds.
fn limit(call: &Call) -> Result<usize, Fault> {
    let Some(text) = call.argument("limit") else { return Ok(MAX_LIMIT) };
    let number: i64 = text.parse().map_err(|_| Fault::invalid(format!("Limit must be a number: {text}")))?;
    match usize::try_from(number) {
        Ok(number @ 1..) => Ok(number.min(MAX_LIMIT)),
        _ => Err(Fault::invalid("Limit must be positive")),
    }
}

fn sortable(key: &str, known: &Fields, version: Version) -> Result<(), Fault> {
    const DOCUMENTS: [&str; 15] = [
        "driver_info",
        "driver_internal_info",
        "properties",
        "instance_info",
        "extra",
        "clean_step",
        "deploy_step",
        "service_step",
        "raid_config",
        "target_raid_config",
        "network_data",
        "traits",
        "internal_info",
        "local_link_connection",
        "health",
    ];
    if DOCUMENTS.contains(&key) || !known.iter().any(|(name, _)| *name == key) {
        return Err(Fault::invalid(format!("The sort_key value {key} is an invalid field for sorting")));
    }
    check_field(key, known, version)
}

/// Address of the page after this one: all arguments again, the fields spelled out.
fn next_url(call: &Call, limit: usize, last: Uuid, selection: &Selection) -> String {
    let mut arguments: Vec<(String, String)> = call
        .arguments()
        .iter()
        .filter(|(name, _)| !["limit", "marker", "sort_key", "sort_dir", "fields"].contains(&name.as_str()))
        .cloned()
        .collect();
    let given = |name: &str, default: &str| call.argument(name).unwrap_or(default).to_owned();
    arguments.push(("sort_key".into(), given("sort_key", "id")));
    arguments.push(("sort_dir".into(), given("sort_dir", "asc")));
    if let Selection::These(fields) = selection {
        arguments.push(("fields".into(), fields.join(",")));
    }
    arguments.push(("limit".into(), limit.to_string()));
    arguments.push(("marker".into(), last.to_string()));
    let address = format!("{}{}", call.base, call.path);
    reqwest::Url::parse_with_params(&address, &arguments).map_or(address, String::from)
}

/// A field's value as something to sort by: null, then false and true, numbers, texts.
#[derive(PartialEq)]
struct Sorted(Value);

impl Eq for Sorted {}

impl PartialOrd for Sorted {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sorted {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |value: &Value| match value {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Number(_) => 2,
            _ => 3,
        };
        match (&self.0, &other.0) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::String(a), Value::String(b)) => a.cmp(b),
            (Value::Number(a), Value::Number(b)) => {
                a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
            }
            (a, b) => rank(a).cmp(&rank(b)),
        }
    }
}

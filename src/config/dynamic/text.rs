//! What statistics show of one element of a list of buckets: the element printed as the C program's JSON library
//! does it (05 §5.9), except that members come sorted by name.

use std::fmt::Write as _;

use serde_json::Value;

/// Prints `value`.
pub(super) fn element(value: &Value) -> String {
    let mut out = String::new();
    print(&mut out, value, 0);
    out
}

/// Depth is bounded: the parser has refused deeper documents.
fn print(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Array(items) if items.is_empty() => out.push_str("[\n]"),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "[" } else { ", " });
                print(out, item, depth);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let inner = depth.saturating_add(1);
            out.push_str("{\n");
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push_str(",\n");
                }
                out.extend(std::iter::repeat_n('\t', inner));
                // Writing to a String cannot fail.
                let _ = write!(out, "{}:\t", Value::from(name.as_str()));
                print(out, member, inner);
            }
            if !members.is_empty() {
                out.push('\n');
                out.extend(std::iter::repeat_n('\t', depth));
            }
            out.push('}');
        }
        scalar => {
            let _ = write!(out, "{scalar}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tabs_and_lines() {
        let value = serde_json::json!({"b": [0, [1, "x"]], "a": {"c": {}, "d": []}});
        assert_eq!(
            element(&value),
            "{\n\t\"a\":\t{\n\t\t\"c\":\t{\n},\n\t\t\"d\":\t[\n]\n\t},\n\t\"b\":\t[0, [1, \"x\"]]\n}"
        );
    }
}

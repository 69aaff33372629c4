//! Quantities, as Kubernetes writes them.

use serde_json::Value;

const UNITS: [(&str, f64); 14] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
];

/// How many thousandths a quantity is, rounded up; `None` if it is none.
pub(super) fn thousandths(value: &Value) -> Option<u64> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let text = text.trim();
    let with_unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (number, factor) = with_unit.or_else(|| Some((text.strip_suffix('E')?, 1e18))).unwrap_or((text, 1.0));
    let number: f64 = number.parse().ok()?;
    let thousandths = (number * factor * 1000.0).ceil();
    (thousandths.is_finite() && thousandths >= 0.0).then(|| format!("{thousandths:.0}").parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_of_all_units_are_read() {
        for (quantity, expected) in [
            (json!("500m"), Some(500)),
            (json!(2), Some(2000)),
            (json!("0.5"), Some(500)),
            (json!("1Gi"), Some(1_073_741_824_000)),
            (json!("1G"), Some(1_000_000_000_000)),
            (json!("1e3"), Some(1_000_000)),
            (json!("100000000E"), Some(u64::MAX)),
            (json!("many"), None),
            (json!("-1"), None),
        ] {
            assert_eq!(thousandths(&quantity), expected, "{quantity}");
        }
    }
}

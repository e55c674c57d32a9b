//! Values as services write them: JSON objects of a named shape with random fields.
//!
//! Key invariant: an object is valid JSON of exactly the bytes asked for, two at least. Fields that do not fit are left
//! out from the end; what is left over goes into a field `note` of plain words, so that it compresses like text.

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use crate::workload::JsonShape;

/// The shortest object.
const EMPTY: &str = "{}";
/// Around the words of a note that follows other fields.
const NOTE: [&str; 2] = [",\"note\":\"", "\""];
/// Fields show times from here on, in milliseconds since 1970: values are made before a run, with equal seeds the same.
const FIRST_MS: u64 = 1_767_225_600_000;

const WORDS: [&str; 48] = [
    "request",
    "accepted",
    "after",
    "retry",
    "timeout",
    "while",
    "reading",
    "from",
    "upstream",
    "user",
    "session",
    "expired",
    "order",
    "created",
    "payment",
    "declined",
    "cache",
    "miss",
    "for",
    "key",
    "the",
    "connection",
    "closed",
    "by",
    "peer",
    "queue",
    "depth",
    "above",
    "limit",
    "slow",
    "query",
    "took",
    "rows",
    "returned",
    "started",
    "worker",
    "finished",
    "job",
    "with",
    "status",
    "batch",
    "of",
    "records",
    "written",
    "to",
    "partition",
    "in",
    "region",
];

/// An object of `bytes` bytes.
pub(super) fn object(shape: JsonShape, bytes: usize, rng: &mut Xoshiro256PlusPlus) -> String {
    let mut out = String::with_capacity(bytes.max(EMPTY.len()));
    out.push('{');
    for (name, value) in fields(shape, rng) {
        let comma = usize::from(out.len() > 1);
        // Two quotes and a colon around the name, the brace after the value.
        if out.len() + comma + name.len() + 3 + value.len() + 1 > bytes {
            break;
        }
        if comma > 0 {
            out.push(',');
        }
        out.extend(["\"", name, "\":", &value]);
    }
    let framed = NOTE[0].len() + NOTE[1].len() + 1;
    if out.len() > 1 && out.len() + framed <= bytes {
        out.push_str(NOTE[0]);
        let words_bytes = bytes - out.len() - NOTE[1].len() - 1;
        push_words(&mut out, words_bytes, rng);
        out.push_str(NOTE[1]);
    }
    // Too little for a note: blanks are valid there.
    while out.len() + 1 < bytes {
        out.push(' ');
    }
    out.push('}');
    out
}

fn push_words(out: &mut String, bytes: usize, rng: &mut Xoshiro256PlusPlus) {
    let end = out.len() + bytes;
    while out.len() < end {
        out.push_str(WORDS[rng.random_range(0..WORDS.len())]);
        out.push(' ');
    }
    out.truncate(end);
}

fn words(count: usize, rng: &mut Xoshiro256PlusPlus) -> String {
    let picked: Vec<&str> = (0..count).map(|_| WORDS[rng.random_range(0..WORDS.len())]).collect();
    format!("\"{}\"", picked.join(" "))
}

type Fields = Vec<(&'static str, String)>;

/// Names and JSON texts of their values, the most telling first.
fn fields(shape: JsonShape, rng: &mut Xoshiro256PlusPlus) -> Fields {
    match shape {
        JsonShape::TruckPosition => truck_position(rng),
        JsonShape::Click => click(rng),
        JsonShape::Trade => trade(rng),
        JsonShape::RowChange => row_change(rng),
        JsonShape::LogLine => log_line(rng),
    }
}

fn at_ms(rng: &mut Xoshiro256PlusPlus) -> u64 {
    FIRST_MS + rng.random_range(0..86_400_000)
}

fn one_of(choices: &[&str], rng: &mut Xoshiro256PlusPlus) -> String {
    format!("\"{}\"", choices[rng.random_range(0..choices.len())])
}

fn truck_position(rng: &mut Xoshiro256PlusPlus) -> Fields {
    vec![
        ("truck", format!("\"T-{:05}\"", rng.random_range(0..100_000))),
        ("lat", format!("{:.6}", rng.random_range(36.0..60.0))),
        ("lon", format!("{:.6}", rng.random_range(-9.0..25.0))),
        ("speed", rng.random_range(0..95).to_string()),
        ("heading", rng.random_range(0..360).to_string()),
        ("at", at_ms(rng).to_string()),
        ("fuel", format!("{:.2}", rng.random_range(0.05..1.0))),
        ("odometer-km", rng.random_range(1_000..900_000).to_string()),
    ]
}

fn click(rng: &mut Xoshiro256PlusPlus) -> Fields {
    let agents = [
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/138.0.0.0 Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    ];
    vec![
        ("visitor", rng.random_range(1_000_000_u64..10_000_000_000).to_string()),
        ("session", format!("\"{:016x}\"", rng.random::<u64>())),
        ("at", at_ms(rng).to_string()),
        ("event", one_of(&["view", "click", "scroll", "search", "add-to-cart", "buy"], rng)),
        ("page", format!("\"/products/{}/{}\"", rng.random_range(1..200), rng.random_range(1..50_000))),
        ("referrer", one_of(&["https://www.example.com/", "https://search.example.org/", ""], rng)),
        ("element", one_of(&["nav", "hero", "list-item", "button-buy", "footer"], rng)),
        ("x", rng.random_range(0..1920).to_string()),
        ("y", rng.random_range(0..4000).to_string()),
        ("agent", one_of(&agents, rng)),
        ("country", one_of(&["DE", "FR", "US", "JP", "BR", "IN", "PL"], rng)),
    ]
}

fn trade(rng: &mut Xoshiro256PlusPlus) -> Fields {
    let letter = |rng: &mut Xoshiro256PlusPlus| char::from(b'A' + rng.random_range(0..26_u8));
    let symbol: String = (0..4).map(|_| letter(rng)).collect();
    vec![
        ("symbol", format!("\"{symbol}\"")),
        ("price", format!("{:.2}", rng.random_range(1.0..2_000.0))),
        ("quantity", (100 * rng.random_range(1..100)).to_string()),
        ("side", one_of(&["buy", "sell"], rng)),
        ("at", at_ms(rng).to_string()),
        ("id", rng.random_range(1_000_000..10_000_000).to_string()),
        ("venue", one_of(&["XETR", "XPAR", "XNAS", "XLON"], rng)),
        ("flags", rng.random_range(0..64).to_string()),
    ]
}

fn row_change(rng: &mut Xoshiro256PlusPlus) -> Fields {
    let id = rng.random_range(1..10_000_000);
    let row = |rng: &mut Xoshiro256PlusPlus| {
        let cents = rng.random_range(100..1_000_000);
        let status = one_of(&["new", "paid", "packed", "sent", "returned"], rng);
        let comment = words(4, rng);
        format!("{{\"id\":{id},\"status\":{status},\"cents\":{cents},\"comment\":{comment}}}")
    };
    let source = format!(
        "{{\"db\":\"shop\",\"table\":\"orders\",\"lsn\":{},\"tx\":{}}}",
        rng.random_range(1_000_000_000_u64..90_000_000_000),
        rng.random_range(1_000..10_000_000)
    );
    vec![
        ("op", one_of(&["u", "u", "u", "u", "c", "d"], rng)),
        ("ts-ms", at_ms(rng).to_string()),
        ("after", row(rng)),
        ("source", source),
        ("before", row(rng)),
    ]
}

fn log_line(rng: &mut Xoshiro256PlusPlus) -> Fields {
    let length = rng.random_range(8..24);
    vec![
        ("at", at_ms(rng).to_string()),
        ("level", one_of(&["INFO", "INFO", "INFO", "INFO", "DEBUG", "WARN", "ERROR"], rng)),
        ("service", one_of(&["checkout", "search", "accounts", "shipping", "gateway"], rng)),
        ("message", words(length, rng)),
        ("host", format!("\"node-{:03}.eu-west.internal\"", rng.random_range(0..400))),
        ("thread", format!("\"worker-{}\"", rng.random_range(0..32))),
        ("trace", format!("\"{:032x}\"", rng.random::<u128>())),
        ("span", format!("\"{:016x}\"", rng.random::<u64>())),
        ("took-ms", rng.random_range(0..2_000).to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const SHAPES: [JsonShape; 5] = [
        JsonShape::TruckPosition,
        JsonShape::Click,
        JsonShape::Trade,
        JsonShape::RowChange,
        JsonShape::LogLine,
    ];

    #[test]
    fn every_size_is_valid_and_exact() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        for shape in SHAPES {
            for bytes in (0..700).chain([5_000]) {
                let object = object(shape, bytes, &mut rng);
                assert_eq!(object.len(), bytes.max(EMPTY.len()), "{shape:?} {object}");
                let parsed: serde_json::Value =
                    serde_json::from_str(&object).unwrap_or_else(|error| panic!("{object}: {error}"));
                assert!(parsed.is_object(), "{object}");
            }
        }
    }

    #[test]
    fn a_hundred_bytes_hold_a_position_and_a_trade() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        for (shape, expected) in [
            (JsonShape::TruckPosition, ["truck", "lat", "lon", "speed", "heading", "at"]),
            (JsonShape::Trade, ["symbol", "price", "quantity", "side", "at", "id"]),
        ] {
            for _ in 0..200 {
                let object = object(shape, 100, &mut rng);
                let parsed: serde_json::Value = serde_json::from_str(&object).expect("valid");
                assert!(expected.iter().all(|field| parsed.get(field).is_some()), "{object}");
            }
        }
    }
}

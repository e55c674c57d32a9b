//! How a record looks as a line.
//!
//! Key invariant: parts come in the order of Kafka's console consumer (timestamp, partition, offset, headers, key,
//! value), separated by the key separator. In JSON, bytes that are no text are base64 under a name that says so.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::cli::output::base64;
use crate::model::PartitionIndex;
use crate::record::{BatchHeader, Record, TimestampType};

/// What to print of each record.
#[derive(Debug, clap::Args)]
pub(super) struct Format {
    /// Print keys.
    #[arg(long)]
    keys: bool,
    /// Print headers.
    #[arg(long)]
    headers: bool,
    /// Print timestamps, in milliseconds since 1970, and whose clock they are of.
    #[arg(long)]
    timestamps: bool,
    /// Print partition and offset.
    #[arg(long)]
    positions: bool,
    /// What stands between the parts of a line. \t stands for a tab.
    #[arg(long, value_name = "TEXT", default_value = "\\t")]
    key_separator: String,
    /// Print each record as a line of JSON with all its parts.
    #[arg(long)]
    json: bool,
}

impl Format {
    /// Writes one record and a line feed.
    pub(super) fn write(
        &self,
        out: &mut impl Write,
        topic: &str,
        partition: PartitionIndex,
        (header, record): (&BatchHeader, &Record),
    ) -> io::Result<()> {
        if self.json {
            let value = as_json(topic, partition, header, record);
            serde_json::to_writer(&mut *out, &value)?;
            return out.write_all(b"\n");
        }
        let parted = self.keys || self.headers || self.timestamps || self.positions;
        if parted {
            let separator = self.key_separator.replace("\\t", "\t");
            self.write_before_value(out, &separator, partition, (header, record))?;
        }
        match &record.value {
            Some(value) => out.write_all(value)?,
            None => out.write_all(b"null")?,
        }
        out.write_all(b"\n")
    }

    fn write_before_value(
        &self,
        out: &mut impl Write,
        separator: &str,
        partition: PartitionIndex,
        (header, record): (&BatchHeader, &Record),
    ) -> io::Result<()> {
        if self.timestamps {
            write!(out, "{}:{}{separator}", clock(header), record.timestamp)?;
        }
        if self.positions {
            write!(out, "Partition:{partition}{separator}Offset:{}{separator}", record.offset)?;
        }
        if self.headers {
            if record.headers.is_empty() {
                out.write_all(b"NO_HEADERS")?;
            }
            for (at, header) in record.headers.iter().enumerate() {
                out.write_all(if at > 0 { b"," } else { b"" })?;
                out.write_all(&header.key)?;
                out.write_all(b":")?;
                out.write_all(header.value.as_deref().unwrap_or(b"null"))?;
            }
            out.write_all(separator.as_bytes())?;
        }
        if self.keys {
            out.write_all(record.key.as_deref().unwrap_or(b"null"))?;
            out.write_all(separator.as_bytes())?;
        }
        Ok(())
    }
}

fn clock(header: &BatchHeader) -> &'static str {
    match header.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

fn as_json(topic: &str, partition: PartitionIndex, header: &BatchHeader, record: &Record) -> Value {
    let mut object = Map::new();
    object.insert("topic".to_owned(), json!(topic));
    object.insert("partition".to_owned(), json!(partition.get()));
    object.insert("offset".to_owned(), json!(record.offset.get()));
    object.insert("timestamp_ms".to_owned(), json!(record.timestamp.get()));
    object.insert("timestamp_type".to_owned(), json!(clock(header)));
    insert_bytes(&mut object, "key", record.key.as_deref());
    insert_bytes(&mut object, "value", record.value.as_deref());
    let headers = record.headers.iter().map(|header| {
        let mut entry = Map::new();
        entry.insert("name".to_owned(), json!(String::from_utf8_lossy(&header.key)));
        insert_bytes(&mut entry, "value", header.value.as_deref());
        Value::Object(entry)
    });
    object.insert("headers".to_owned(), headers.collect());
    Value::Object(object)
}

/// Under `name` as text, or under `name_base64`.
fn insert_bytes(object: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
        None => object.insert(name.to_owned(), Value::Null),
        Some((Ok(text), _)) => object.insert(name.to_owned(), json!(text)),
        Some((Err(_), bytes)) => object.insert(format!("{name}_base64"), json!(base64(bytes))),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Offset, TimestampMs};
    use crate::record::builder::{BatchBuilder, NewRecord};
    use crate::record::{Codec, records};

    fn shown(format: &Format) -> String {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.append(&NewRecord {
            timestamp: TimestampMs(5),
            key: Some(b"k"),
            value: Some(b"\xff"),
            headers: &[(b"h", Some(b"1")), (b"i", None)],
        });
        builder.append(&NewRecord { timestamp: TimestampMs(6), value: Some(b"v"), ..NewRecord::default() });
        let batch = builder.build(Offset(40)).expect("it has records");
        let header = BatchHeader::parse(&batch).expect("well formed");
        let mut out = Vec::new();
        for record in records(&batch).expect("well formed") {
            let record = record.expect("well formed");
            format.write(&mut out, "t", PartitionIndex(3), (&header, &record)).expect("memory takes it");
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn format(all: bool, json: bool) -> Format {
        Format {
            keys: all,
            headers: all,
            timestamps: all,
            positions: all,
            key_separator: "\\t".to_owned(),
            json,
        }
    }

    #[test]
    fn lines_have_the_parts_that_were_asked_for() {
        assert_eq!(shown(&format(false, false)), "\u{fffd}\nv\n");
        assert_eq!(
            shown(&format(true, false)),
            "CreateTime:5\tPartition:3\tOffset:40\th:1,i:null\tk\t\u{fffd}\n\
             CreateTime:6\tPartition:3\tOffset:41\tNO_HEADERS\tnull\tv\n"
        );
    }

    #[test]
    fn json_has_all_parts_and_base64_for_what_is_no_text() {
        let text = shown(&format(false, true));
        let first: Value = serde_json::from_str(text.lines().next().expect("two lines")).expect("JSON");
        let expected = json!({
            "topic": "t", "partition": 3, "offset": 40, "timestamp_ms": 5, "timestamp_type": "CreateTime",
            "key": "k", "value_base64": "/w==",
            "headers": [{ "name": "h", "value": "1" }, { "name": "i", "value": null }],
        });
        assert_eq!(first, expected);
    }
}

//! `docs/configuration.md`, written from the tables.
//!
//! Key invariant: the page names every setting that is accepted, and a test fails while the page in the repository is
//! not what this writes, so that it cannot go stale.

use super::definition::{
    Definition, Effect, Scope, Update, broker_scope, client_metrics_scope, group_scope, topic_scope,
};
use super::layers::OWN_DEFAULTS;
use super::load::{ENVIRONMENT_RESERVED, SHORT_NAMES};
use std::fmt::Write;

const OPENING: &str = "\
# Configuration

This page is written from the tables in `src/config/table/`; `UPDATE_DOCS=1 cargo test configuration_page` writes it anew.

Corelog's settings have the names, types, defaults and rules of Apache Kafka 4.2. No setting is needed to start. Each can
be given in four ways; the first of these that gives it wins:

1. a flag of `corelog serve`: `--data-dir`, `--listen`, `--advertise`, `--admin`, `--shards`;
2. `--set NAME=VALUE`, as often as needed; of two with the same name the later one holds;
3. an environment variable: `CORELOG_` and the name in capitals with `_` for `.`, such as `CORELOG_LOG_RETENTION_MS`;
4. a TOML file, `--config FILE`.

A name that is not a setting and a value that is not valid are errors at start. They say where they stand, and which
known name is nearest.

In the file a name is written as it is, in quotes or as a dotted key: `\"max.connections\" = 100`, `log.retention.ms = 1000`,
or `retention.ms = 1000` under `[log]`. A name that is also the beginning of another one (`max.connections` and
`max.connections.per.ip`) needs the quotes. Lists are arrays, or texts with commas.

Settings marked *running* can be changed without a restart, for all brokers or for one, with AlterConfigs
(`kafka-configs.sh --entity-type brokers`, `corelog topic alter` for topics). Such a value wins over all given at start: the
broker's own first, then the cluster's.
";

/// The page.
pub fn configuration_page() -> String {
    let mut page = OPENING.to_owned();
    short_names(&mut page);
    differences(&mut page);
    let own = |d: &&Definition| d.name.starts_with("corelog.");
    section(&mut page, "Corelog's own settings", "Given like a broker's.", broker_scope(), own);
    let topics = "Set for one topic when it is created or with AlterConfigs. The default shown is Kafka's; the broker's \
                  setting behind it (`log.retention.ms` for `retention.ms`) gives the default of all topics.";
    section(&mut page, "Topic settings", topics, topic_scope(), |d| !d.internal);
    let brokers = "**●** acts in Corelog. The others are checked, kept and described as Kafka does, and change nothing \
                   (yet, or because Corelog has no such part).";
    section(&mut page, "Broker settings", brokers, broker_scope(), |d| !d.internal && !own(d));
    let groups =
        "Set for one group with AlterConfigs, within the bounds that the broker's `group.*` settings give.";
    section(&mut page, "Group settings", groups, group_scope(), |_| true);
    let clients = "Set for one subscription with AlterConfigs (KIP-714).";
    section(&mut page, "Client metrics subscriptions", clients, client_metrics_scope(), |_| true);
    page
}

fn line(page: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(page, "{text}").expect("a String takes all that is written to it");
}

fn short_names(page: &mut String) {
    line(
        page,
        format_args!("\n## Short names\n\n| in the file, the environment and `--set` | is |\n| --- | --- |"),
    );
    for (short, setting) in SHORT_NAMES {
        let dashed = short.replace('.', "-");
        let also = if dashed == short { String::new() } else { format!(", `{dashed}`") };
        line(page, format_args!("| `{short}`{also} | `{setting}` |"));
    }
    line(
        page,
        format_args!(
            "\nThe settings under `corelog.` may be written without it, except where Kafka has the name."
        ),
    );
    let reserved: Vec<String> = ENVIRONMENT_RESERVED.iter().map(|name| format!("`{name}`")).collect();
    line(page, format_args!("These variables are not settings of the broker: {}.", reserved.join(", ")));
}

fn differences(page: &mut String) {
    line(
        page,
        format_args!(
            "\n## Where Corelog differs from Kafka\n\n| default of | Kafka | Corelog | why |\n| --- | --- | --- | --- |"
        ),
    );
    for (name, own, why) in OWN_DEFAULTS {
        let kafka = broker_scope().get(name).and_then(|d| d.default).unwrap_or("none");
        line(page, format_args!("| `{name}` | `{kafka}` | `{own}` | {why} |"));
    }
    line(
        page,
        format_args!(
            "\nReplication factors and `min.isr` of the internal topics are capped at the number of brokers unless they \
             are set:\nKafka's defaults of 3 and 2 would leave a single broker without coordinators.\n\n\
             Refused, because leaving them out of account would be unsafe: settings that name a Java class, and these."
        ),
    );
    for definition in broker_scope().all().iter().filter(|d| d.effect == Effect::Refused) {
        line(page, format_args!("- `{}`: {}", definition.name, definition.doc));
    }
}

fn section(page: &mut String, title: &str, about: &str, scope: &Scope, shown: impl Fn(&&Definition) -> bool) {
    line(page, format_args!("\n## {title}\n\n{about}\n"));
    line(
        page,
        format_args!("| name | type | default | valid | | meaning |\n| --- | --- | --- | --- | --- | --- |"),
    );
    let mut definitions: Vec<&Definition> = scope.all().iter().filter(shown).collect();
    definitions.sort_by_key(|definition| definition.name);
    for definition in definitions {
        let default = match definition.default {
            None => "none".to_owned(),
            Some("") => "empty".to_owned(),
            Some(text) => format!("`{text}`"),
        };
        let acts = if definition.effect == Effect::Acts { "●" } else { "" };
        let running = if definition.update == Update::Restart { "" } else { " *running*" };
        line(
            page,
            format_args!(
                "| `{}` | {} | {default} | {} | {acts}{running} | {} |",
                definition.name,
                definition.kind.name().to_lowercase(),
                definition.check.describe(),
                definition.doc
            ),
        );
    }
}

//! Behaviour of the whole room: what loads, what is refused and how it is said, what describes.

use super::*;
use proptest::prelude::*;

fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn overrides(given: &[(&str, &str)]) -> Overrides {
    pairs(given).into_iter().collect()
}

fn load_set(given: &[(&str, &str)]) -> Result<BrokerSettings, LoadError> {
    BrokerSettings::load(&Sources { set: &pairs(given), ..Sources::default() })
}

fn broker(given: &[(&str, &str)]) -> BrokerSettings {
    load_set(given).expect("these settings are valid")
}

fn refused(given: &[(&str, &str)]) -> String {
    load_set(given).expect_err("these settings are not valid").to_string()
}

fn topic_error(given: &[(&str, &str)]) -> String {
    validate_topic(&overrides(given), &BrokerSettings::default()).expect_err("not valid").to_string()
}

fn entry<'a>(entries: &'a [Entry], name: &str) -> &'a Entry {
    entries.iter().find(|entry| entry.name == name).expect(name)
}

fn synonyms(entry: &Entry) -> Vec<(&str, &str, i8)> {
    let shown = |s: &'_ Synonym| s.value.is_some();
    assert!(entry.synonyms.iter().all(shown) || entry.sensitive);
    entry
        .synonyms
        .iter()
        .map(|s| (s.name.as_str(), s.value.as_deref().unwrap_or(""), s.source.wire()))
        .collect()
}

#[test]
fn defaults_are_kafkas_where_nothing_else_is_said() {
    let settings = BrokerSettings::default();
    assert_eq!(settings.listeners.listen.to_string(), "127.0.0.1:9092");
    assert_eq!(settings.listeners.admin.to_string(), "127.0.0.1:9644");
    assert_eq!(settings.data_dir.to_str(), Some("data"));
    assert_eq!((settings.node.id.0, settings.shards.count), (1, None));
    assert_eq!(settings.network.request_bytes_max, 104_857_600);
    assert_eq!(settings.network.connection_idle_ms_max, Some(600_000));
    assert_eq!(settings.fetch, FetchSettings { session_slots_max: 1000, response_bytes_max: 57_671_680 });
    let topics = settings.topics;
    assert_eq!((topics.partitions, topics.replication_factor, topics.auto_create), (1, 1, true));
    let log = topics.settings;
    assert_eq!((log.segment.bytes, log.segment.roll_ms), (1 << 30, 604_800_000));
    assert_eq!((log.retention.ms, log.retention.bytes), (604_800_000, -1));
    assert_eq!((log.retention.delete, log.retention.compact), (true, false));
    assert_eq!((log.batch_bytes_max, log.compression, log.min_insync_replicas), (1_048_588, None, 1));
    assert_eq!(log.timestamps.after_max_ms, 3_600_000);
}

#[test]
fn internal_topics_fit_the_number_of_brokers_unless_set() {
    let offsets = broker(&[]).internal_topics.offsets;
    assert_eq!(
        (offsets.replication_factor(1), offsets.replication_factor(2), offsets.replication_factor(9)),
        (1, 2, 3)
    );
    let transactions = broker(&[]).internal_topics.transactions;
    assert_eq!((transactions.min_insync_replicas(1), transactions.min_insync_replicas(5)), (1, 2));
    assert_eq!((transactions.partitions, transactions.segment_bytes), (50, 104_857_600));
    let chosen = broker(&[("offsets.topic.replication.factor", "2")]).internal_topics.offsets;
    assert_eq!(chosen.replication_factor(1), 2);
}

#[test]
fn sources_take_precedence_in_order() {
    let environment = pairs(&[
        ("CORELOG_NUM_PARTITIONS", "3"),
        ("CORELOG_LOG_RETENTION_MS", "3"),
        ("CORELOG_SHARDS", "3"),
        ("CORELOG_CONFIG", "some/file"),
        ("PATH", "/bin"),
    ]);
    let file = "\"num.partitions\" = 4\nlog.retention.ms = 4\nshards = 4\nnode.id = 4\nlisten = \"[::1]:1\"\n\
                [log.cleanup]\npolicy = [\"compact\", \"delete\"]\n";
    let set = pairs(&[("num.partitions", "1"), ("num.partitions", "2"), ("shards", "2")]);
    let flags = Flags { shards: Some("1".to_owned()), ..Flags::default() };
    let sources = Sources { flags, set: &set, environment: &environment, file: Some(file) };
    let settings = BrokerSettings::load(&sources).expect("valid");
    assert_eq!((settings.shards.count, settings.topics.partitions), (Some(1), 2));
    assert_eq!((settings.topics.settings.retention.ms, settings.node.id.0), (3, 4));
    assert_eq!(settings.listeners.listen.to_string(), "[::1]:1");
    let retention = settings.topics.settings.retention;
    assert!(retention.compact && retention.delete);
}

#[test]
fn what_is_unknown_is_named_with_what_is_near() {
    let message = refused(&[("log.retension.ms", "1")]);
    assert_eq!(
        message,
        "--set log.retension.ms: log.retension.ms is not a setting; did you mean log.retention.ms?"
    );
    assert!(refused(&[("retention.ms", "1")]).ends_with("did you mean log.retention.ms?"));
    assert!(refused(&[("data.dirs", "1")]).ends_with("did you mean data.dir?"));
    assert!(refused(&[("zzz", "1")]).ends_with("docs/configuration.md lists all"));
    let environment = pairs(&[("CORELOG_SHARD", "1")]);
    let error = BrokerSettings::load(&Sources { environment: &environment, ..Sources::default() });
    assert_eq!(
        error.expect_err("not valid").to_string(),
        "environment variable CORELOG_SHARD: shard is not a setting; did you mean shards?"
    );
    let error = BrokerSettings::load(&Sources {
        file: Some("[log]\nretention = { ms = [[1]] }"),
        ..Sources::default()
    });
    assert!(
        error.expect_err("not valid").to_string().starts_with("configuration file: log.retention.ms must be")
    );
}

#[test]
fn what_is_invalid_is_named_with_its_value() {
    assert_eq!(
        refused(&[("num.partitions", "0")]),
        "--set num.partitions: Invalid value 0 for configuration num.partitions: Value must be at least 1"
    );
    assert_eq!(refused(&[("log.roll.ms", "0")]), "log.roll.ms must be greater than or equal to 1");
    assert!(refused(&[("authorizer.class.name", "x.Y")]).contains("Corelog does not support it"));
    assert!(refused(&[("create.topic.policy.class.name", "x.Y")]).contains("Class x.Y could not be found."));
    assert!(refused(&[("log.dirs", "a,b")]).contains("exactly one directory"));
    assert!(refused(&[("listeners", "SSL://a:1")]).contains("SSL listeners are not supported"));
    assert!(
        refused(&[("listeners", "0.0.0.0:1")]).contains("cannot use the nonroutable meta-address 0.0.0.0")
    );
    assert!(broker(&[("listeners", "0.0.0.0:1"), ("advertise", "h:1")]).listeners.listen.is_any_address());
    assert!(refused(&[("node.id", "1"), ("broker.id", "2")]).contains("same value"));
    assert_eq!(broker(&[("broker.id", "7")]).node.id.0, 7);
}

#[test]
fn shards_are_nodes_only_if_asked_for_and_if_there_are_ports() {
    let ports = |given: &[(&str, &str)]| {
        broker(given).listeners.shard_ports(9092, 2).map_err(|error| error.to_string())
    };
    assert_eq!(ports(&[]), Ok(None));
    assert_eq!(ports(&[("corelog.shard.port.first", "7000")]), Ok(None));
    let per_shard = ("corelog.advertise", "per-shard");
    assert_eq!(ports(&[per_shard]), Ok(ShardPorts::new(9093, 2)));
    assert_eq!(ports(&[per_shard, ("shard.port.first", "7000")]), Ok(ShardPorts::new(7000, 2)));
    for (first, shown) in [("9091", "9091"), ("9092", "9092"), ("65535", "65535")] {
        let refused = ports(&[per_shard, ("shard.port.first", first)]).expect_err(first);
        assert!(
            refused.contains(&format!("Invalid value {shown} for configuration corelog.shard.port.first"))
        );
    }
    let last = broker(&[per_shard]).listeners.shard_ports(u16::MAX, 1);
    assert!(last.is_err(), "there is no port after the last");
    assert!(refused(&[("corelog.advertise", "each")]).contains("String must be one of: broker, per-shard"));
}

#[test]
fn no_broker_has_an_id_that_a_shard_could_appear_under() {
    assert_eq!(broker(&[("node.id", "999999999")]).node.id.0, 999_999_999);
    for name in ["node.id", "broker.id"] {
        for id in ["1000000000", "2147483647"] {
            assert!(refused(&[(name, id)]).contains("Ids from 1000000000 on"));
        }
    }
}

#[test]
fn topic_settings_are_refused_with_kafkas_words() {
    for (name, value, message) in [
        (
            "segment.bytes",
            "1",
            "Invalid value 1 for configuration segment.bytes: Value must be at least 1048576",
        ),
        (
            "cleanup.policy",
            "foo",
            "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete",
        ),
        ("cleanup.policy", "delete,", "Configuration 'cleanup.policy' values must not be empty."),
        (
            "compression.gzip.level",
            "0",
            "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1",
        ),
        (
            "min.cleanable.dirty.ratio",
            "2",
            "Invalid value 2.0 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
        ),
        ("retention.ms", "-2", "Invalid value -2 for configuration retention.ms: Value must be at least -1"),
        (
            "preallocate",
            "yes",
            "Invalid value yes for configuration preallocate: Expected value to be either true or false",
        ),
        ("foo", "x", "Unknown topic config name: foo"),
        (
            "leader.replication.throttled.replicas",
            "a:b",
            "Invalid value [a:b] for configuration leader.replication.throttled.replicas: \
             leader.replication.throttled.replicas must be the literal '*' or a list of replicas in the following \
             format: [partitionId]:[brokerId],[partitionId]:[brokerId],...",
        ),
        (
            "remote.storage.enable",
            "true",
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.",
        ),
    ] {
        assert_eq!(topic_error(&[(name, value)]), message);
    }
    assert_eq!(
        topic_error(&[("max.compaction.lag.ms", "1"), ("min.compaction.lag.ms", "2")]),
        "conflict topic config setting min.compaction.lag.ms (2) > max.compaction.lag.ms (1)"
    );
    let valid =
        [("cleanup.policy", ""), ("retention.ms", "-1"), ("leader.replication.throttled.replicas", "*")];
    assert_eq!(validate_topic(&overrides(&valid), &BrokerSettings::default()), Ok(()));
}

#[test]
fn a_topic_acts_on_its_overrides_and_on_the_brokers_defaults() {
    let broker = broker(
        &[
            ("log.retention.hours", "2"),
            ("log.roll.minutes", "1"),
            ("compression.type", "zstd"),
            ("log.cleanup.policy", "compact"),
        ][..1],
    );
    let plain = TopicSettings::effective(&Overrides::new(), &broker);
    assert_eq!(plain.retention.ms, 7_200_000);
    let given =
        [("cleanup.policy", "compact"), ("compression.type", "gzip"), ("internal.segment.bytes", "4096")];
    let own = TopicSettings::effective(&overrides(&given), &broker);
    assert!(own.retention.compact && !own.retention.delete);
    assert_eq!((own.compression, own.segment.bytes), (Some(Compression::Gzip { level: -1 }), 4096));
    let stored_by_another_version = overrides(&[("segment.bytes", "x"), ("future.setting", "1")]);
    assert_eq!(TopicSettings::effective(&stored_by_another_version, &broker), plain);
}

#[test]
fn compaction_is_bounded_by_the_cleaners_settings() {
    let kafkas = CleanerSettings {
        enabled: true,
        backoff_ms: 15_000,
        bytes_per_second: None,
        map_bytes: 128 << 20,
        map_load_percent: 90,
    };
    assert_eq!(BrokerSettings::default().topics.cleaner, kafkas);
    let given = broker(&[
        ("log.cleaner.enable", "false"),
        ("log.cleaner.backoff.ms", "0"),
        ("log.cleaner.io.max.bytes.per.second", "1e6"),
        ("log.cleaner.io.buffer.load.factor", "7"),
    ]);
    let wanted = CleanerSettings {
        enabled: false,
        backoff_ms: 0,
        bytes_per_second: Some(1_000_000),
        map_load_percent: 100,
        ..kafkas
    };
    assert_eq!(given.topics.cleaner, wanted);
}

#[test]
fn a_description_says_where_a_value_comes_from() {
    let at_start = broker(&[("log.retention.hours", "24"), ("log.segment.bytes", "2000000")]);
    let running = at_start.with_dynamic(
        &overrides(&[("log.segment.bytes", "3000000"), ("message.max.bytes", "100")]),
        &overrides(&[("log.segment.bytes", " 4000000")]),
    );
    let topic = describe_topic(&overrides(&[("segment.bytes", " 5000000"), ("flush.ms", "1")]), &running);
    let segment = entry(&topic, "segment.bytes");
    assert_eq!((segment.value.as_deref(), segment.source), (Some("5000000"), Source::Topic));
    assert_eq!(
        synonyms(segment),
        [
            ("segment.bytes", "5000000", 1),
            ("log.segment.bytes", " 4000000", 2),
            ("log.segment.bytes", "3000000", 3),
            ("log.segment.bytes", "2000000", 4),
            ("log.segment.bytes", "1073741824", 5),
        ]
    );
    assert_eq!(entry(&topic, "max.message.bytes").source, Source::Cluster);
    // As in Kafka: the value in hours holds, but is no synonym of a setting in milliseconds.
    let retention = entry(&topic, "retention.ms");
    assert_eq!((retention.value.as_deref(), retention.source), (Some("86400000"), Source::Default));
    assert_eq!(synonyms(retention), []);
    let created = describe_created_topic(&Overrides::new(), &running);
    assert_eq!(entry(&created, "retention.ms").source, Source::Static);
    assert_eq!(created.len(), 33);
    let created = describe_created_topic(&overrides(&[("cleanup.policy", " compact , delete ")]), &running);
    assert_eq!(entry(&created, "cleanup.policy").value.as_deref(), Some(" compact , delete "));
}

#[test]
fn brokers_describe_all_settings_and_hide_secrets() {
    let running = broker(&[("ssl.key.password", "secret"), ("broker.id", "3")]).with_dynamic(
        &overrides(&[("nonsense", "1")]),
        &overrides(&[("follower.replication.throttled.rate", "5")]),
    );
    let described = describe_broker(&running, 1);
    let internal = broker_scope().all().iter().filter(|d| d.internal).count();
    assert_eq!(described.len(), broker_scope().all().len() - internal + 2);
    let password = entry(&described, "ssl.key.password");
    assert_eq!(
        (password.value.as_deref(), password.sensitive, password.source),
        (None, true, Source::Static)
    );
    assert_eq!(synonyms(password), [("ssl.key.password", "", 4)]);
    assert!(entry(&described, "nonsense").sensitive);
    assert_eq!(entry(&described, "follower.replication.throttled.rate").value.as_deref(), Some("5"));
    assert_eq!(entry(&described, "node.id").value.as_deref(), Some("3"));
    let factor = entry(&described, "offsets.topic.replication.factor");
    assert_eq!((factor.value.as_deref(), synonyms(factor)[0].1), (Some("1"), "3"));
    let (fixed, dynamic) = (entry(&described, "num.partitions"), entry(&described, "log.segment.bytes"));
    assert!(fixed.read_only && !dynamic.read_only);
    assert_eq!(describe_cluster(&running).iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["nonsense"]);
}

fn dynamic(given: &[(&str, &str)], level: BrokerLevel) -> Result<(), String> {
    validate_broker(&overrides(given), level, &BrokerSettings::default()).map_err(|error| {
        assert!(matches!(error, ConfigError::Request(_)), "brokers answer INVALID_REQUEST");
        error.to_string()
    })
}

#[test]
fn some_broker_settings_change_while_it_runs() {
    use BrokerLevel::{Broker, Cluster};
    assert_eq!(dynamic(&[("log.segment.bytes", "2000000"), ("made.up", "1")], Cluster), Ok(()));
    assert_eq!(dynamic(&[("num.io.threads", "16")], Broker), Ok(()));
    for (given, level, message) in [
        (("node.id", "2"), Broker, "Cannot update these configs dynamically: Set(node.id)"),
        (
            ("ssl.keystore.type", "x"),
            Broker,
            "These security configs can be dynamically updated only per-listener using the listener prefix: \
             HashSet(ssl.keystore.type)",
        ),
        (
            ("listeners", "PLAINTEXT://:1"),
            Cluster,
            "Cannot update these configs at default cluster level, broker id must be specified: Set(listeners)",
        ),
        (
            ("listener.name.a.max.connections", "-1"),
            Broker,
            "Invalid value -1 for configuration max.connections: Value must be at least 0",
        ),
        (
            ("log.retention.ms", "0"),
            Broker,
            "requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1",
        ),
        (
            ("num.io.threads", "17"),
            Broker,
            "Invalid value org.apache.kafka.common.config.ConfigException: Dynamic thread count update validation \
             failed for num.io.threads=17, value should not be greater than double the current value 8 for \
             configuration Invalid dynamic configuration",
        ),
    ] {
        assert_eq!(dynamic(&[given], level), Err(message.to_owned()));
    }
}

#[test]
fn groups_keep_within_the_brokers_bounds() {
    let check = |given: &[(&str, &str)]| {
        validate_group(&overrides(given), &BrokerSettings::default()).map_err(|error| error.to_string())
    };
    assert_eq!(
        check(&[("consumer.session.timeout.ms", "50000"), ("share.auto.offset.reset", "by_duration:PT1H")]),
        Ok(())
    );
    for (given, message) in [
        (("x", "1"), "Unknown group config name: x"),
        (
            ("consumer.session.timeout.ms", "0"),
            "Invalid value 0 for configuration consumer.session.timeout.ms: Value must be at least 1",
        ),
        (
            ("consumer.session.timeout.ms", "44999"),
            "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
        ),
        (
            ("streams.num.standby.replicas", "3"),
            "streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas",
        ),
    ] {
        assert_eq!(check(&[given]), Err(message.to_owned()));
    }
    let equal = BrokerSettings::default().with_dynamic(&Overrides::new(), &Overrides::new());
    let described = describe_group(&overrides(&[("consumer.session.timeout.ms", "50000")]), &equal);
    assert_eq!(
        synonyms(entry(&described, "consumer.session.timeout.ms")),
        [("consumer.session.timeout.ms", "50000", 8)]
    );
    assert_eq!(
        synonyms(entry(&described, "share.isolation.level")),
        [("share.isolation.level", "read_uncommitted", 5)]
    );
}

fn altered(current: &[(&str, &str)], operation: Operation, value: &str) -> Result<Overrides, String> {
    let change = Change { name: "cleanup.policy".to_owned(), operation, value: Some(value.to_owned()) };
    alter_incremental(ResourceKind::Topic, &overrides(current), &[change]).map_err(|error| error.to_string())
}

#[test]
fn lists_are_appended_to_and_subtracted_from() {
    let policy = |value: &str| Ok(overrides(&[("cleanup.policy", value)]));
    assert_eq!(altered(&[], Operation::Append, "compact"), policy("delete,compact"));
    assert_eq!(
        altered(&[("cleanup.policy", "compact")], Operation::Append, "compact,delete"),
        policy("compact,delete")
    );
    assert_eq!(
        altered(&[("cleanup.policy", "compact,delete")], Operation::Subtract, "compact,x"),
        policy("delete")
    );
    assert_eq!(altered(&[], Operation::Subtract, "delete"), policy(""));
    assert_eq!(altered(&[("a", "1")], Operation::Delete, ""), Ok(overrides(&[("a", "1")])));
    let change =
        Change { name: "segment.ms".to_owned(), operation: Operation::Append, value: Some("1".to_owned()) };
    assert_eq!(
        alter_incremental(ResourceKind::Topic, &Overrides::new(), &[change]),
        Err(ConfigError::Config("Can't APPEND to key segment.ms because its type is not LIST.".to_owned()))
    );
    let long = "x".repeat(VALUE_CHARS_MAX + 1);
    assert!(
        altered(&[], Operation::Set, &long)
            .is_err_and(|why| why.contains("maximum value size of 32767 bytes"))
    );
}

#[test]
fn the_configuration_page_is_written_from_the_tables() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = configuration_page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).expect("docs/configuration.md can be written");
    }
    let written = std::fs::read_to_string(path).expect("docs/configuration.md exists");
    assert!(written == page, "docs/configuration.md is stale: UPDATE_DOCS=1 cargo test configuration_page");
}

fn any_name() -> impl Strategy<Value = String> {
    let known: Vec<String> =
        broker_scope().all().iter().chain(topic_scope().all()).map(|d| d.name.to_owned()).collect();
    prop_oneof![8 => proptest::sample::select(known), 1 => "\\PC{0,12}", 1 => "listener\\.name\\.[a-z.]{0,20}"]
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        (-2_i64..2_000_000).prop_map(|n| n.to_string()),
        "\\PC{0,20}",
        "[ a-z,:*]{0,20}",
        proptest::sample::select(vec![
            "true",
            "delete",
            "compact,delete",
            "0.5",
            "1:2,3:4",
            "[::1]:1",
            "P1D",
            ""
        ])
        .prop_map(str::to_owned),
    ]
}

fn any_overrides() -> impl Strategy<Value = Overrides> {
    proptest::collection::btree_map(any_name(), any_value(), 0..6)
}

fn any_change() -> impl Strategy<Value = Change> {
    let operation = (0_i8..4).prop_map(|wire| Operation::from_wire(wire).expect("0 to 3 are operations"));
    (any_name(), operation, any_value()).prop_map(|(name, operation, value)| Change {
        name,
        operation,
        value: Some(value),
    })
}

proptest! {
    #[test]
    fn a_value_that_parses_reads_back_from_its_canonical_form(name in any_name(), raw in any_value()) {
        for scope in [broker_scope(), topic_scope()] {
            if let Some(definition) = scope.get(&name) && let Ok(value) = definition.parse(&raw) {
                prop_assert_eq!(definition.parse(&value.to_string()), Ok(value));
            }
        }
    }

    #[test]
    fn anything_stored_still_gives_settings_and_a_full_description(
        topic in any_overrides(), cluster in any_overrides(), own in any_overrides(),
    ) {
        let broker = BrokerSettings::default().with_dynamic(&cluster, &own);
        let settings = TopicSettings::effective(&topic, &broker);
        prop_assert!(settings.segment.bytes > 0 && settings.segment.roll_ms > 0 && settings.min_insync_replicas > 0);
        for definition in topic_scope().all() {
            let described = describe_topic(&topic, &broker).iter().filter(|e| e.name == definition.name).count();
            let hidden = definition.internal && !topic.contains_key(definition.name);
            prop_assert_eq!(described, usize::from(!hidden));
        }
        let described = describe_broker(&broker, 1);
        for definition in broker_scope().all().iter().filter(|d| !d.internal) {
            prop_assert_eq!(described.iter().filter(|e| e.name == definition.name).count(), 1);
        }
    }

    #[test]
    fn what_validates_for_a_topic_describes_as_it_was_set(given in any_overrides()) {
        let broker = BrokerSettings::default();
        if validate_topic(&given, &broker).is_ok() {
            let described = describe_topic(&given, &broker);
            for (name, raw) in &given {
                let entry = entry(&described, name);
                let parsed = topic_scope().get(name).expect("validated").parse(raw).expect("validated");
                prop_assert_eq!(entry.value.as_ref(), Some(&parsed.to_string()));
                prop_assert_eq!(entry.source, Source::Topic);
            }
        }
    }

    #[test]
    fn changes_touch_only_what_they_name(
        current in any_overrides(), change in any_change(), level in prop_oneof![Just(BrokerLevel::Broker), Just(BrokerLevel::Cluster)],
    ) {
        for kind in ResourceKind::ALL {
            if let Ok(altered) = alter_incremental(kind, &current, std::slice::from_ref(&change)) {
                let others = |all: &Overrides| {
                    all.iter().filter(|(name, _)| **name != change.name).map(|(n, v)| (n.clone(), v.clone())).collect::<Overrides>()
                };
                prop_assert_eq!(others(&altered), others(&current));
                let again = alter_incremental(kind, &altered, std::slice::from_ref(&change));
                let whole = change.value.as_ref().is_some_and(|value| value.split(',').all(|part| !part.is_empty()));
                if whole && change.operation != Operation::Subtract {
                    prop_assert_eq!(again, Ok(altered));
                }
            }
        }
        let broker = BrokerSettings::default();
        if validate_broker(&current, level, &broker).is_ok() {
            let none = Overrides::new();
            let (cluster, own) = if level == BrokerLevel::Cluster { (&current, &none) } else { (&none, &current) };
            let running = broker.with_dynamic(cluster, own);
            prop_assert_eq!(&running.layers().own, own);
        }
        let _ = (validate_group(&current, &broker), validate_client_metrics("s", &current));
    }

    #[test]
    fn loading_never_panics(set in proptest::collection::vec((any_name(), any_value()), 0..4), file in "\\PC{0,40}") {
        let sources = Sources { set: &set, environment: &set, file: Some(&file), ..Sources::default() };
        if let Err(error) = BrokerSettings::load(&sources) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

//! Every API but the single-batch Produce and Fetch, which are answered by hand.
//!
//! Key invariant: answers hold only fields that the version of the request has, so they can always be written.

use bytes::Bytes;
use corelog::protocol::{ErrorCode, RequestHeader, decode, encode_response};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest,
    MetadataResponse, ProduceRequest, ProduceResponse, SaslAuthenticateResponse, SaslHandshakeResponse,
    TopicName,
};
use kafka_protocol::protocol::{Encodable, Request, StrBytes};

use super::END_OFFSET;
use super::heads::RequestHead;
use super::shared::{Shared, Verdict, topic_id};
use crate::client::wire::Reader;

/// What ListOffsets asks for the first offset with.
const EARLIEST: i64 = -2;
const MECHANISM: &str = "PLAIN";
const CONTROLLER: i32 = 0;

/// Whether a client has to log in, or has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Session {
    pub logged_in: bool,
}

/// One request that is answered here.
pub(super) struct Asked<'a> {
    pub shared: &'a Shared,
    pub broker: i32,
    pub head: RequestHead,
    pub body: &'a [u8],
}

/// Answers a request; `None`: nothing is to be sent. An error closes the connection.
pub(super) fn answer(asked: &Asked<'_>, session: &mut Session) -> Result<Option<Bytes>, String> {
    let head = &asked.head;
    let api = ApiKey::try_from(head.api).map_err(|()| format!("API key {} is unknown", head.api))?;
    let header =
        RequestHeader { api, version: head.version, correlation_id: head.correlation, client_id: None };
    if api == ApiKey::ApiVersions {
        return api_versions(asked, header).map(Some);
    }
    if !asked.shared.options.offered.has(api, head.version) {
        return Err(format!("{api:?} version {} is not offered", head.version));
    }
    match api {
        ApiKey::SaslHandshake => written(&header, &handshake(asked)?),
        ApiKey::SaslAuthenticate => written(&header, &authenticate(asked, session)?),
        _ if asked.shared.options.login.is_some() && !session.logged_in => {
            Err(format!("{api:?} came before the client logged in"))
        }
        ApiKey::Metadata => written(&header, &metadata(asked, &read::<MetadataRequest>(asked)?)),
        ApiKey::CreateTopics => written(&header, &create_topics(asked, &read::<CreateTopicsRequest>(asked)?)),
        ApiKey::DeleteTopics => written(&header, &delete_topics(asked, &read::<DeleteTopicsRequest>(asked)?)),
        ApiKey::ListOffsets => written(&header, &list_offsets(asked, &read::<ListOffsetsRequest>(asked)?)),
        ApiKey::InitProducerId => {
            let id = asked.shared.next_producer_id();
            written(&header, &InitProducerIdResponse::default().with_producer_id(id.into()))
        }
        ApiKey::Produce => produce(asked, &header),
        _ => Err(format!("{api:?} has no answer here")),
    }
}

fn read<R: Request>(asked: &Asked<'_>) -> Result<R, String> {
    let mut body = Bytes::copy_from_slice(asked.body);
    decode(&mut body, asked.head.version).map_err(|error| error.to_string())
}

fn written<T: Encodable>(header: &RequestHeader, body: &T) -> Result<Option<Bytes>, String> {
    encode_response(header, body).map(Some).map_err(|error| error.to_string())
}

/// An unknown version is answered in version 0 with the whole table (KIP-511).
fn api_versions(asked: &Asked<'_>, mut header: RequestHeader) -> Result<Bytes, String> {
    let offered = &asked.shared.options.offered;
    let row = |(api, min, max): &(ApiKey, i16, i16)| {
        ApiVersion::default().with_api_key(*api as i16).with_min_version(*min).with_max_version(*max)
    };
    let mut answer = ApiVersionsResponse::default().with_api_keys(offered.rows().iter().map(row).collect());
    if !offered.has(ApiKey::ApiVersions, header.version) {
        answer.error_code = ErrorCode::UnsupportedVersion.code();
        header.version = 0;
    }
    encode_response(&header, &answer).map_err(|error| error.to_string())
}

fn handshake(asked: &Asked<'_>) -> Result<SaslHandshakeResponse, String> {
    let mechanism = Reader::new(asked.body).text(false).map_err(|error| error.to_string())?;
    let error = match &asked.shared.options.login {
        None => ErrorCode::IllegalSaslState.code(),
        Some(_) if mechanism != MECHANISM.as_bytes() => ErrorCode::UnsupportedSaslMechanism.code(),
        Some(_) => 0,
    };
    let mechanisms = vec![StrBytes::from_static_str(MECHANISM)];
    Ok(SaslHandshakeResponse::default().with_error_code(error).with_mechanisms(mechanisms))
}

fn authenticate(asked: &Asked<'_>, session: &mut Session) -> Result<SaslAuthenticateResponse, String> {
    /// From this version on numbers are compact.
    const FLEXIBLE_FROM: i16 = 2;
    let mut reader = Reader::new(asked.body);
    let token =
        reader.bytes_length(asked.head.version >= FLEXIBLE_FROM).and_then(|length| reader.take(length));
    let token = token.map_err(|error| error.to_string())?;
    let login = &asked.shared.options.login;
    session.logged_in =
        login.as_ref().is_some_and(|(user, password)| token == format!("\0{user}\0{password}").as_bytes());
    if session.logged_in {
        return Ok(SaslAuthenticateResponse::default());
    }
    Ok(SaslAuthenticateResponse::default()
        .with_error_code(ErrorCode::SaslAuthenticationFailed.code())
        .with_error_message(Some(StrBytes::from_static_str("Invalid username or password"))))
}

fn metadata(asked: &Asked<'_>, request: &MetadataRequest) -> MetadataResponse {
    let brokers = asked.shared.advertised().zip(0..).map(|(address, id): (_, i32)| {
        MetadataResponseBroker::default()
            .with_node_id(id.into())
            .with_host(StrBytes::from_string(address.ip().to_string()))
            .with_port(i32::from(address.port()))
    });
    let topics = request.topics.iter().flatten().filter_map(|topic| topic.name.as_ref());
    MetadataResponse::default()
        .with_brokers(brokers.collect())
        .with_controller_id(CONTROLLER.into())
        .with_topics(topics.map(|name| metadata_topic(asked, name)).collect())
}

fn metadata_topic(asked: &Asked<'_>, name: &TopicName) -> MetadataResponseTopic {
    let topic = MetadataResponseTopic::default().with_name(Some(name.clone()));
    let Some(partitions) = asked.shared.partitions(name) else {
        return topic.with_error_code(ErrorCode::UnknownTopicOrPartition.code());
    };
    let partition = |index: i32| {
        let (leader, epoch) = asked.shared.leader(index);
        MetadataResponsePartition::default()
            .with_partition_index(index)
            .with_leader_id(leader.into())
            .with_leader_epoch(epoch)
            .with_replica_nodes(vec![leader.into()])
            .with_isr_nodes(vec![leader.into()])
    };
    topic.with_topic_id(topic_id(name)).with_partitions((0..partitions).map(partition).collect())
}

fn create_topics(asked: &Asked<'_>, request: &CreateTopicsRequest) -> CreateTopicsResponse {
    let create = |topic: &kafka_protocol::messages::create_topics_request::CreatableTopic| {
        // Brokers before KIP-464 do not choose.
        const CHOICE_FROM: i16 = 4;
        let created = if topic.replication_factor == 0
            || topic.replication_factor < 0 && asked.head.version < CHOICE_FROM
        {
            Err(ErrorCode::InvalidReplicationFactor)
        } else {
            asked.shared.create(&topic.name, topic.num_partitions)
        };
        CreatableTopicResult::default()
            .with_name(topic.name.clone())
            .with_error_code(created.err().map_or(0, ErrorCode::code))
    };
    CreateTopicsResponse::default().with_topics(request.topics.iter().map(create).collect())
}

fn delete_topics(asked: &Asked<'_>, request: &DeleteTopicsRequest) -> DeleteTopicsResponse {
    let states = request.topics.iter().filter_map(|topic| topic.name.as_ref());
    let delete = |name: &TopicName| {
        let code = asked.shared.remove(name).err().map_or(0, ErrorCode::code);
        DeletableTopicResult::default().with_name(Some(name.clone())).with_error_code(code)
    };
    let responses = states.chain(&request.topic_names).map(delete).collect();
    DeleteTopicsResponse::default().with_responses(responses)
}

fn list_offsets(asked: &Asked<'_>, request: &ListOffsetsRequest) -> ListOffsetsResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let offset = if partition.timestamp == EARLIEST { 0 } else { END_OFFSET };
            ListOffsetsPartitionResponse::default()
                .with_partition_index(index)
                .with_error_code(asked.shared.leadership(asked.broker, index))
                .with_offset(offset)
        });
        ListOffsetsTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

/// A request with several batches, or none.
fn produce(asked: &Asked<'_>, header: &RequestHeader) -> Result<Option<Bytes>, String> {
    let request = read::<ProduceRequest>(asked)?;
    let mut responses = vec![];
    for topic in &request.topic_data {
        let mut partitions = vec![];
        for partition in &topic.partition_data {
            let Verdict::Answer(code) = asked.shared.judge_produce(asked.broker, partition.index) else {
                return Err("the connection is closed as the faults demand".to_owned());
            };
            partitions
                .push(PartitionProduceResponse::default().with_index(partition.index).with_error_code(code));
        }
        let named =
            TopicProduceResponse::default().with_name(topic.name.clone()).with_topic_id(topic.topic_id);
        responses.push(named.with_partition_responses(partitions));
    }
    if request.acks == 0 {
        return Ok(None);
    }
    written(header, &ProduceResponse::default().with_responses(responses))
}

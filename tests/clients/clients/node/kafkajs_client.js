// kafkajs: produces lines of text and drives its admin client. It reads only in a group, so it has no consume here.
'use strict'

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = require('kafkajs')
const zstd = require('@bokuweb/zstd-wasm')
const { check, main, records } = require('./client_args.js')

const BATCH_BYTES = 256 * 1024

CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')
CompressionCodecs[CompressionTypes.LZ4] = () => {
  const lz4 = require('lz4-napi')
  return {
    compress: async (encoder) => lz4.compressFrame(encoder.buffer),
    decompress: async (buffer) => lz4.decompressFrame(buffer),
  }
}
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer, 3)),
  decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
})
const CODECS = { none: 'None', gzip: 'GZIP', snappy: 'Snappy', lz4: 'LZ4', zstd: 'ZSTD' }

function connect(args) {
  return new Kafka({ clientId: 'kafkajs-test', brokers: [args.bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 3 } })
}

async function produce(args) {
  await zstd.init()
  const idempotent = args.idempotent === 'yes'
  const producer = connect(args).producer({ idempotent, maxInFlightRequests: 1, allowAutoTopicCreation: true })
  await producer.connect()
  const all = records(args)
  const send = async (messages, first) => {
    const [answer] = await producer.send({
      topic: args.topic,
      acks: args.acks === 'all' ? -1 : Number(args.acks),
      compression: CompressionTypes[CODECS[args.codec]],
      messages,
    }).then((answers) => (answers.length ? answers : [null]))
    // Keyed text is sent to topics that hold some already.
    if (args.acks !== '0' && args.keyed === 'no') {
      check(Number(answer.baseOffset) === first, `the batch from ${first} got offset ${answer.baseOffset}`)
    }
  }
  let batch = []
  let bytes = 0
  for (let i = 0; i < all.length; i++) {
    batch.push({ partition: 0, ...all[i] })
    bytes += (all[i].key?.length ?? 0) + (all[i].value?.length ?? 0) + 8
    if (bytes >= BATCH_BYTES || i === all.length - 1) {
      await send(batch, i + 1 - batch.length)
      batch = []
      bytes = 0
    }
  }
  await producer.disconnect()
  console.log(`produced ${all.length}`)
}

async function checkConfigs(admin, topic) {
  const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic }]
  await admin.alterConfigs({
    resources: [{ ...resources[0], configEntries: [{ name: 'retention.ms', value: '123456' }] }],
  })
  const described = await admin.describeConfigs({ resources, includeSynonyms: true })
  const entries = described.resources[0].configEntries
  const entry = entries.find((each) => each.configName === 'retention.ms')
  check(entry && entry.configValue === '123456', `retention.ms is ${JSON.stringify(entry)}`)
  check(entries.some((each) => each.configName === 'cleanup.policy'), 'defaults are not described')
}

async function checkRecords(args, kafka, admin) {
  const producer = kafka.producer()
  await producer.connect()
  const messages = [...Array(10).keys()].map((n) => ({ partition: 1, value: String(n), timestamp: String(1000000 + n) }))
  await producer.send({ topic: args.topic, messages })
  await producer.disconnect()
  await admin.deleteTopicRecords({ topic: args.topic, partitions: [{ partition: 1, offset: '4' }] })
  const offsets = (await admin.fetchTopicOffsets(args.topic)).find((each) => each.partition === 1)
  check(offsets.low === '4' && offsets.high === '10', `offsets ${JSON.stringify(offsets)}`)
  const found = await admin.fetchTopicOffsetsByTimestamp(args.topic, 1000007)
  check(found.find((each) => each.partition === 1).offset === '7', `by timestamp ${JSON.stringify(found)}`)
}

async function admin(args) {
  const kafka = connect(args)
  const client = kafka.admin()
  await client.connect()
  const topics = [{ topic: args.topic, numPartitions: 2, replicationFactor: 1 }]
  check(await client.createTopics({ topics, waitForLeaders: true }), 'the topic was not created')
  check(!(await client.createTopics({ topics })), 'creating a topic twice was not refused')
  check((await client.listTopics()).includes(args.topic), 'the new topic is not listed')
  await client.createPartitions({ topicPartitions: [{ topic: args.topic, count: 3 }] })
  const metadata = await client.fetchTopicMetadata({ topics: [args.topic] })
  check(metadata.topics[0].partitions.length === 3, `metadata ${JSON.stringify(metadata)}`)
  await checkConfigs(client, args.topic)
  await checkRecords(args, kafka, client)
  const cluster = await client.describeCluster()
  check(cluster.brokers.length >= 1 && cluster.clusterId, `cluster ${JSON.stringify(cluster)}`)
  check(cluster.controller !== null && cluster.controller >= 0, 'no controller')
  await client.deleteTopics({ topics: [args.topic] })
  check(!(await client.listTopics()).includes(args.topic), 'the deleted topic is still listed')
  await client.disconnect()
  console.log('admin ok')
}

main({ produce, admin }).catch((error) => {
  console.error(error)
  process.exit(1)
})

// @platformatic/kafka: produces lines of text and drives its admin client. It reads only in a group: no consume here.
'use strict'

const { check, main, records } = require('./client_args.js')

const BATCH_RECORDS = 4000

// The exit status that the suite reports as skipped, with the last line printed as the reason.
const UNSUPPORTED_STATUS = 77

// The package is of ES modules alone, which do not look at NODE_PATH: resolve it first.
const library = () => import(require.resolve('@platformatic/kafka'))

function options(args) {
  return { clientId: 'platformatic-test', bootstrapBrokers: [args.bootstrap], retries: 3 }
}

async function produce(args) {
  if (args.codec === 'zstd' && !require('node:zlib').zstdCompressSync) {
    console.log(`node ${process.version} has no zstd`)
    process.exit(UNSUPPORTED_STATUS)
  }
  const { Producer } = await library()
  const producer = new Producer({
    ...options(args),
    idempotent: args.idempotent === 'yes',
    autocreateTopics: true,
    compression: args.codec,
    acks: args.acks === 'all' ? -1 : Number(args.acks),
  })
  const all = records(args)
  for (let first = 0; first < all.length; first += BATCH_RECORDS) {
    const messages = all.slice(first, first + BATCH_RECORDS).map((record) => ({ topic: args.topic, partition: 0, ...record }))
    const answer = await producer.send({ messages })
    // Keyed text is sent to topics that hold some already.
    if (args.acks !== '0' && args.keyed === 'no') {
      check(Number(answer.offsets[0].offset) === first, `the batch from ${first} got ${answer.offsets[0].offset}`)
    }
  }
  await producer.close()
  console.log(`produced ${all.length}`)
}

async function checkRecords(args, client, Producer) {
  const producer = new Producer(options(args))
  const messages = [...Array(10).keys()].map((n) => ({
    topic: args.topic, partition: 1, value: Buffer.from(String(n)), timestamp: BigInt(1000000 + n),
  }))
  await producer.send({ messages })
  await producer.close()
  await client.deleteRecords({ topics: [{ name: args.topic, partitions: [{ partition: 1, offset: 4n }] }] })
  for (const [timestamp, want] of [[-2n, 4n], [-1n, 10n], [1000007n, 7n]]) {
    const listed = await client.listOffsets({
      topics: [{ name: args.topic, partitions: [{ partitionIndex: 1, timestamp }] }],
    })
    const { offset } = listed[0].partitions[0]
    check(offset === want, `timestamp ${timestamp} gave ${offset}, not ${want}`)
  }
}

async function checkConfigs(args, client) {
  const resource = { resourceType: 2, resourceName: args.topic }
  await client.incrementalAlterConfigs({
    resources: [{ ...resource, configs: [{ name: 'retention.ms', configOperation: 0, value: '123456' }] }],
  })
  const described = await client.describeConfigs({ resources: [resource] })
  const entry = described[0].configs.find((each) => each.name === 'retention.ms')
  check(entry && entry.value === '123456', `retention.ms is ${JSON.stringify(entry)}`)
}

async function admin(args) {
  const { Admin, Producer } = await library()
  const client = new Admin(options(args))
  const created = await client.createTopics({ topics: [args.topic], partitions: 2, replicas: 1 })
  check(created[0].name === args.topic && created[0].id, 'the created topic has no id')
  check((await client.listTopics()).includes(args.topic), 'the new topic is not listed')
  const refused = await client.createTopics({ topics: [args.topic], partitions: 2, replicas: 1 }).catch((error) => error)
  check(refused instanceof Error, 'creating a topic twice was not refused')
  await client.createPartitions({ topics: [{ name: args.topic, count: 3, assignments: null }] })
  await checkConfigs(args, client)
  await checkRecords(args, client, Producer)
  await client.deleteTopics({ topics: [args.topic] })
  check(!(await client.listTopics()).includes(args.topic), 'the deleted topic is still listed')
  await client.close()
  console.log('admin ok')
}

main({ produce, admin }).catch((error) => {
  console.error(error, ...(error.errors ?? []))
  process.exit(1)
})

// kafkajs as a member of a group; ../python/member_args.py says what it prints and obeys.
'use strict'

const { Kafka, PartitionAssigners, logLevel } = require('kafkajs')
const { args, fail, listen, say, sayCommitted, sayError, sayPartitions } = require('./member_args.js')

const printed = new Map()
let owned = []
let stopping = false

const kafka = new Kafka({
  clientId: 'kafkajs-member',
  brokers: [args.bootstrap],
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 100, maxRetryTime: 1000, retries: 60 },
})

// Under a standard name the assigner of kafkajs can lead a group of other clients, whose metadata has the same format.
const renamed = (name) => (options) => ({ ...PartitionAssigners.roundRobin(options), name })

const consumer = kafka.consumer({
  groupId: args.group,
  sessionTimeout: Number(args.session),
  heartbeatInterval: Math.floor(Number(args.session) / 10),
  maxWaitTimeInMs: 100,
  metadataMaxAge: 2000,
  partitionAssigners: [args.assignor ? renamed(args.assignor) : PartitionAssigners.roundRobin],
})

async function commit() {
  if (!printed.size) return
  const offsets = [...printed]
  printed.clear()
  const { topic, metadata } = args
  try {
    await consumer.commitOffsets(offsets.map(([partition, offset]) => ({ topic, partition, offset: String(offset), metadata })))
    sayCommitted(offsets)
  } catch (error) {
    sayError(error)
    throw error
  }
}

async function fetch() {
  const admin = kafka.admin()
  await admin.connect()
  const [found] = await admin.fetchOffsets({ groupId: args.group, topics: [args.topic] })
  await admin.disconnect()
  const of = (each) => `${each.partition}:${each.offset}:${each.metadata ?? ''}`
  say('fetched', ...found.partitions.sort((a, b) => a.partition - b.partition).map(of))
}

async function obey(words) {
  if (words[0] === 'commit') await commit()
  if (words[0] === 'fetch') await fetch()
  if (words[0] === 'seek') {
    printed.delete(Number(words[1]))
    consumer.seek({ topic: args.topic, partition: Number(words[1]), offset: words[2] })
  }
  if (words[0] === 'stop' && !stopping) {
    stopping = true
    await consumer.disconnect()
    say('closed')
    process.exit(0)
  }
}

async function eachBatch({ batch, isRunning, isStale, heartbeat }) {
  for (const message of batch.messages) {
    if (!isRunning() || isStale()) return
    say('record', batch.partition, message.offset, message.value.toString())
    printed.set(batch.partition, BigInt(message.offset) + 1n)
  }
  if (args.commit === 'each') await commit()
  await heartbeat()
}

async function main() {
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    printed.clear()
    if (owned.length) sayPartitions('revoked', owned)
    owned = payload.memberAssignment[args.topic] ?? []
    sayPartitions('assigned', owned)
  })
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    sayError(payload.error)
    if (!payload.restart && !stopping) again()
  })
  await start()
  listen(obey)
}

async function start() {
  await consumer.connect()
  await consumer.subscribe({ topic: args.topic, fromBeginning: true })
  await consumer.run({ autoCommit: false, partitionsConsumedConcurrently: 1, eachBatch })
}

// kafkajs gives up on a coordinator that it cannot find, and leaves it to the application to start again.
async function again() {
  await consumer.disconnect().catch(sayError)
  await start().catch(() => setTimeout(again, 500))
}

main().catch(fail)

// @platformatic/kafka as a member of a group; ../python/member_args.py says what it prints and obeys.
'use strict'

const { args, fail, listen, say, sayCommitted, sayError, sayPartitions } = require('./member_args.js')

const printed = new Map()
let owned = []
let consumer
let stopping = false

// The package is of ES modules alone, which do not look at NODE_PATH: resolve it first.
const library = () => import(require.resolve('@platformatic/kafka'))

const partitionsOf = (assignments) => (assignments ?? []).find((each) => each.topic === args.topic)?.partitions ?? []

function options() {
  const common = { groupId: args.group, clientId: 'platformatic-member', bootstrapBrokers: [args.bootstrap], retries: 60, retryDelay: 500 }
  if (args.instance) common.groupInstanceId = args.instance
  if (args.protocol === 'consumer') {
    return { ...common, groupProtocol: 'consumer', ...(args.assignor ? { groupRemoteAssignor: args.assignor } : {}) }
  }
  const sessionTimeout = Number(args.session)
  return { ...common, sessionTimeout, heartbeatInterval: Math.floor(sessionTimeout / 10), protocols: [{ name: args.assignor || 'roundrobin', version: 1 }] }
}

async function commit() {
  if (!printed.size) return
  const offsets = [...printed]
  printed.clear()
  try {
    await consumer.commit({ offsets: offsets.map(([partition, offset]) => ({ topic: args.topic, partition, offset, leaderEpoch: -1 })) })
    sayCommitted(offsets)
  } catch (error) {
    sayError(error)
  }
}

async function fetch() {
  const partitions = [...owned].sort()
  const found = (await consumer.listCommittedOffsets({ topics: [{ topic: args.topic, partitions }] })).get(args.topic)
  say('fetched', ...partitions.map((partition) => `${partition}:${found[partition] ?? -1}:?`))
}

async function obey(words) {
  if (words[0] === 'commit') await commit()
  if (words[0] === 'fetch') await fetch()
  if (words[0] === 'stop' && !stopping) {
    stopping = true
    await consumer.close(true)
    say('closed')
    process.exit(0)
  }
}

// Its events differ between the two protocols; what it holds does not.
function notice() {
  const now = partitionsOf(consumer.assignments)
  if (String(now) === String(owned)) return
  const gone = owned.filter((partition) => !now.includes(partition))
  const added = now.filter((partition) => !owned.includes(partition))
  owned = [...now]
  if (gone.length) sayPartitions('revoked', gone)
  if (added.length) sayPartitions('assigned', added)
}

async function main() {
  const { Consumer } = await library()
  consumer = new Consumer(options())
  consumer.on('consumer:group:join', notice)
  setInterval(notice, 100)
  const stream = await consumer.consume({ topics: [args.topic], mode: 'committed', fallbackMode: 'earliest', autocommit: false, maxWaitTime: 100 })
  stream.on('error', sayError)
  listen(obey)
  if (args.commit === 'each') setInterval(commit, 200)
  for await (const message of stream) {
    say('record', message.partition, message.offset, message.value.toString())
    printed.set(message.partition, message.offset + 1n)
  }
}

// A fetch that was on its way when the client was told to stop fails, which is no error then.
main().catch((error) => stopping || fail(error))

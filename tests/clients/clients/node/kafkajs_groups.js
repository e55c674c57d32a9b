// kafkajs: the admin side of groups. `active` while the group has a member, `empty` after that. Its resetOffsets is its setOffsets
// with -2 for an offset; each joins the group for several seconds, so that one of them has to do.
'use strict'

const { Kafka, logLevel } = require('kafkajs')
const { check, main } = require('./client_args.js')

const PARTITIONS = 2
const COMMITTED = 10

async function connected(args, action) {
  const kafka = new Kafka({ clientId: 'kafkajs-test', brokers: [args.bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 3 } })
  const admin = kafka.admin()
  await admin.connect()
  try {
    await action(admin)
  } finally {
    await admin.disconnect()
  }
  console.log('groups ok')
}

async function listed(admin, group) {
  return (await admin.listGroups()).groups.find((each) => each.groupId === group)
}

async function offsets(admin, args) {
  const found = await admin.fetchOffsets({ groupId: args.group, topics: [args.topic] })
  const partitions = found[0].partitions.sort((a, b) => a.partition - b.partition)
  return partitions.map((each) => Number(each.offset))
}

function same(found, offset) {
  return found.length === PARTITIONS && found.every((each) => each === offset)
}

function set(admin, args, offset) {
  const partitions = [...Array(PARTITIONS).keys()].map((partition) => ({ partition, offset: String(offset) }))
  return admin.setOffsets({ groupId: args.group, topic: args.topic, partitions })
}

// The type of what was refused, or of the first group that was.
async function refusal(action) {
  try {
    await action
  } catch (error) {
    return error.groups ? error.groups[0].error.type : error.type || error.message
  }
  return null
}

async function active(args) {
  await connected(args, async (admin) => {
    check((await listed(admin, args.group))?.protocolType === 'consumer', 'it is not listed as a group of consumers')
    const { groups } = await admin.describeGroups([args.group])
    check(groups[0].state === 'Stable' && groups[0].members.length === 1, `described as ${JSON.stringify(groups)}`)
    check(groups[0].members[0].clientHost === '/127.0.0.1', `the member is at ${groups[0].members[0].clientHost}`)
    const committed = await offsets(admin, args)
    check(same(committed, COMMITTED), `committed are ${committed}`)
    const refused = await refusal(set(admin, args, 1))
    check(refused && refused.includes('must have no running instances'), `offsets set beside a member: ${refused}`)
    check((await refusal(admin.deleteGroups([args.group]))) === 'NON_EMPTY_GROUP', 'a group with a member was deleted')
  })
}

async function empty(args) {
  await connected(args, async (admin) => {
    const { groups } = await admin.describeGroups([args.group])
    check(groups[0].state === 'Empty' && groups[0].members.length === 0, `described as ${JSON.stringify(groups)}`)
    await set(admin, args, 3)
    check(same(await offsets(admin, args), 3), `set to ${await offsets(admin, args)}`)
    await admin.deleteGroups([args.group])
    check(!(await listed(admin, args.group)), 'the deleted group is still listed')
    const refused = await refusal(admin.deleteGroups([args.group]))
    check(refused === 'GROUP_ID_NOT_FOUND', `deleting a deleted group: ${refused}`)
  })
}

main({ active, empty }).catch((error) => {
  console.error(error)
  process.exit(1)
})

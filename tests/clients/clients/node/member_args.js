// What a member of a group prints and obeys, for the Node clients; ../python/member_args.py describes it.
'use strict'

const readline = require('node:readline')
const { parseArgs } = require('node:util')

const text = (value) => ({ type: 'string', default: value })

const { values: args } = parseArgs({
  allowPositionals: true,
  options: {
    bootstrap: text(''),
    topic: text(''),
    group: text(''),
    protocol: text('classic'),
    assignor: text(''),
    instance: text(''),
    metadata: text(''),
    session: text('10000'),
    commit: text('each'),
  },
})

const say = (...words) => process.stdout.write(words.join(' ') + '\n')

const sayPartitions = (word, partitions) => say(word, [...partitions].sort().join(','))

const sayCommitted = (offsets) => say('committed', ...[...offsets].map(([partition, offset]) => `${partition}:${offset}`))

const sayError = (error) => say('error', `${error.name}: ${error.message}`.replaceAll('\n', ' '))

// Calls `obey` for each line of stdin, one after the other, and with `stop` at its end.
function listen(obey) {
  let last = Promise.resolve()
  const next = (words) => {
    last = last.then(() => obey(words)).catch(sayError)
  }
  const lines = readline.createInterface({ input: process.stdin })
  lines.on('line', (line) => next(line.trim().split(/\s+/)))
  lines.on('close', () => next(['stop']))
}

function fail(error) {
  console.error(error)
  process.exit(1)
}

module.exports = { args, fail, listen, say, sayCommitted, sayError, sayPartitions }

// The command line that every client program of these tests has; see client_args.py for what it promises.
'use strict'

const fs = require('node:fs')
const { parseArgs } = require('node:util')

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    bootstrap: { type: 'string' },
    topic: { type: 'string' },
    group: { type: 'string' },
    file: { type: 'string' },
    out: { type: 'string' },
    codec: { type: 'string', default: 'none' },
    acks: { type: 'string', default: 'all' },
    idempotent: { type: 'string', default: 'no' },
    keyed: { type: 'string', default: 'no' },
  },
})

// Bytes, not strings: a line must come back exactly as it was.
function lines(path) {
  const text = fs.readFileSync(path)
  const found = []
  let from = 0
  while (from < text.length) {
    let to = text.indexOf(10, from)
    if (to < 0) to = text.length
    found.push(text.subarray(from, to))
    from = to + 1
  }
  return found
}

// The records of the file; a tab and nothing after it is a tombstone.
function records(args) {
  return lines(args.file).map((line) => {
    if (args.keyed !== 'yes') return { value: line }
    const tab = line.indexOf(9)
    return { key: line.subarray(0, tab), value: tab + 1 < line.length ? line.subarray(tab + 1) : null }
  })
}

function check(condition, text) {
  if (!condition) throw new Error(`check failed: ${text}`)
}

async function main(commands) {
  const run = commands[positionals[0]]
  if (!run) throw new Error(`unknown command ${positionals[0]}`)
  await run(values)
}

module.exports = { records, check, main }

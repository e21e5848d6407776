// A real TimescaleDB (PGlite, WebAssembly, in memory) behind a PostgreSQL socket, for tests. Prints its port.
//
// There is one session underneath, so clients take turns: one has the database from its first message until its
// transaction is over. They share prepared statements, temporary tables and advisory locks. No authentication, no
// cancellation, no background workers, and COPY only FROM STDIN, by a simple query.

import { createServer } from 'node:net'
import { PGlite } from '@electric-sql/pglite'
import { timescaledb } from '@electric-sql/pglite/timescaledb'
import { error, message, messagesOf, ready, statusIn, text, welcome } from './wire.mjs'

const COPY = /^\s*copy\s+(?<target>[\s\S]+?)\s+from\s+stdin\b(?<options>[\s\S]*)$/i

const db = await PGlite.create({ extensions: { timescaledb } })
const version = (await db.query('SHOW server_version')).rows[0].server_version

let status = 'I'
let turn = Promise.resolve() // resolved when nobody has the database

async function takeTurn() {
  const before = turn
  let release
  turn = new Promise((resolve) => { release = resolve })
  await before
  return release
}

async function forward(raw) {
  const answer = Buffer.from(await db.execProtocolRaw(raw))
  status = statusIn(answer) ?? status
  return answer
}

// PGlite reads COPY's data from a device, not from the protocol.
async function copy({ target, options }, chunks) {
  try {
    const done = await db.query(`COPY ${target} FROM '/dev/blob' ${options}`, [], { blob: new Blob(chunks) })
    return message('C', text(`COPY ${done.affectedRows ?? 0}`))
  } catch (failure) {
    if (status === 'T') status = 'E'
    return error(failure)
  }
}

async function serve(socket) {
  let release = null
  let copying = null // {target, options, chunks}
  let waiting = [] // messages of the extended protocol, sent on together at Sync or Flush
  const rest = () => {
    if (status === 'I' && release) {
      release()
      release = null
    }
  }
  try {
    for await (const { type, body, raw } of messagesOf(socket)) {
      if (type === '') {
        socket.write(welcome({
          server_version: version, server_encoding: 'UTF8', client_encoding: 'UTF8', DateStyle: 'ISO, MDY',
          TimeZone: 'GMT', integer_datetimes: 'on', standard_conforming_strings: 'on',
        }))
        continue
      }
      if (type === 'X') break
      release ??= await takeTurn()
      if (copying) {
        if (type === 'd') copying.chunks.push(body)
        if (type !== 'c' && type !== 'f') continue
        const given = type === 'c' ? await copy(copying, copying.chunks) : error({ code: '57014', message: 'COPY failed' })
        copying = null
        socket.write(Buffer.concat([given, ready(status)]))
        rest()
      } else if (type === 'Q') {
        const wanted = COPY.exec(body.subarray(0, -1).toString())
        if (wanted && status !== 'E') {
          copying = { ...wanted.groups, chunks: [] }
          socket.write(message('G', Buffer.from([/binary/i.test(copying.options) ? 1 : 0, 0, 0])))
          continue
        }
        socket.write(await forward(raw))
        rest()
      } else {
        waiting.push(raw)
        if (type !== 'S' && type !== 'H') continue
        const together = Buffer.concat(waiting)
        waiting = []
        socket.write(await forward(together))
        if (type === 'S') rest()
      }
    }
  } finally {
    if (release) {
      if (status !== 'I') await forward(message('Q', text('ROLLBACK')))
      release()
    }
    socket.end()
  }
}

const server = createServer((socket) => {
  socket.on('error', () => {})
  serve(socket).catch((failure) => {
    console.error(failure)
    socket.destroy()
  })
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
process.stdin.resume().on('end', () => process.exit()) // whoever started it is gone

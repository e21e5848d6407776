// The PostgreSQL wire protocol, version 3, as far as a server of one database needs it: bytes in, messages out.

const CANCEL = 80877102
const ENCRYPTION = new Set([80877103, 80877104]) // SSLRequest, GSSENCRequest

export const text = (string) => Buffer.from(string + '\0')

export function message(type, ...parts) {
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(5)
  head.write(type, 0)
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

export const ready = (status) => message('Z', Buffer.from(status))

export const error = ({ code = 'XX000', message: said, detail }) =>
  message('E', ...[['S', 'ERROR'], ['V', 'ERROR'], ['C', code], ['M', said], ['D', detail]]
    .filter(([, value]) => value)
    .map(([field, value]) => text(field + value)), Buffer.from([0]))

// AuthenticationOk, the parameters a client asks about, a cancellation key that nobody uses, ReadyForQuery.
export function welcome(parameters) {
  const zero = Buffer.alloc(4)
  const status = Object.entries(parameters).map(([name, value]) => message('S', text(name), text(value)))
  return Buffer.concat([message('R', zero), ...status, message('K', zero, zero), ready('I')])
}

// The transaction status (I idle, T in a transaction, E in a failed one) that the last ReadyForQuery in `bytes` tells.
export function statusIn(bytes) {
  let status = null
  for (let at = 0; at + 5 <= bytes.length; at += bytes.readInt32BE(at + 1) + 1) {
    if (bytes[at] === 'Z'.charCodeAt(0)) status = String.fromCharCode(bytes[at + 5])
  }
  return status
}

// Yields {type, body, raw} for every message of a client; its greeting has type ''. Offers of encryption are declined.
export async function* messagesOf(socket) {
  let buffer = Buffer.alloc(0)
  let greeted = false
  for await (const chunk of socket) {
    buffer = Buffer.concat([buffer, chunk])
    for (;;) {
      const typed = greeted ? 1 : 0
      if (buffer.length < typed + 4) break
      const size = typed + buffer.readInt32BE(typed)
      if (buffer.length < size) break
      const raw = buffer.subarray(0, size)
      buffer = buffer.subarray(size)
      if (greeted) {
        yield { type: String.fromCharCode(raw[0]), body: raw.subarray(5), raw }
      } else if (ENCRYPTION.has(raw.readInt32BE(4))) {
        socket.write('N')
      } else if (raw.readInt32BE(4) === CANCEL) {
        return
      } else {
        greeted = true
        yield { type: '', body: raw.subarray(8), raw }
      }
    }
  }
}

// The same server as tests/clients has: a process of its own, killed and started again on the same store.

export { Server, binary, freePort } from '../../clients/lib/server.mjs'
export { eventually, never, sleep } from '../../clients/lib/wait.mjs'
export { SECRET, sign } from '../../clients/lib/tokens.mjs'

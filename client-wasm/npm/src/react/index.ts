'use client'
// ruang-client/react: a client for a tree of components, and hooks that read parts of it.

export { RuangProvider, useRuang, useRuangClient } from './context.js'
export { useConnection, useDrag, useEdit, useEntry, usePart, usePresence, useRetroRoom, type RetroRoom } from './hooks.js'
export { RoomStateDebug } from './debug.js'

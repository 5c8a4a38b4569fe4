// What a token says of its holder. Read, never checked: the server does that.

/** The claims that the client uses. */
export interface Claims {
  user?: string
  name?: string
  color?: string
  role?: string
  /** When it ends, in ms since 1970. */
  endsMs?: number
  /** When it was made, in ms since 1970. */
  madeMs?: number
}

/** The claims of a JWT; nothing of what is none. */
export function claims (token: string | undefined): Claims {
  const part = token?.split('.')[1]
  if (part === undefined) return {}
  try {
    const bytes = Uint8Array.from(atob(part.replace(/-/g, '+').replace(/_/g, '/')), (letter) => letter.charCodeAt(0))
    const said = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>
    const result: Claims = {}
    if (typeof said.sub === 'string') result.user = said.sub
    if (typeof said.name === 'string') result.name = said.name
    if (typeof said.color === 'string') result.color = said.color
    if (typeof said.role === 'string') result.role = said.role
    if (typeof said.exp === 'number') result.endsMs = said.exp * 1000
    if (typeof said.iat === 'number') result.madeMs = said.iat * 1000
    return result
  } catch {
    return {}
  }
}

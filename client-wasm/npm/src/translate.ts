// The core's errors, in the words of this library.

import type { CoreErrorCode } from './core.js'
import { RuangError, type RuangErrorCode } from './errors.js'

const CODES: Record<CoreErrorCode, RuangErrorCode> = {
  bad_argument: 'bad-edit',
  not_there: 'not-there',
  exists: 'exists',
  bad_id: 'bad-edit',
  bad_line: 'bad-edit',
  bad_text: 'too-large',
  bad_color: 'bad-edit',
  bad_number: 'bad-edit',
  bad_votes: 'bad-edit',
  bad_columns: 'bad-edit',
  not_allowed: 'not-allowed',
  bad_update: 'damaged',
  broken: 'damaged'
}

/** What the core has thrown, as an error of this library; what is none of the core's comes back as it is. */
export function coreError (error: unknown): unknown {
  if (!(error instanceof Error) || error.name !== 'RuangCoreError') return error
  const { code } = error as Error & { code: CoreErrorCode }
  return new RuangError(CODES[code] ?? 'damaged', error.message, { detail: code, cause: error })
}

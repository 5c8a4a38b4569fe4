// Under which keys things stand on a board.

/** A new card's, group's or action item's: nobody else makes up the same. */
export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('')

/** The votes of one person for one card or group. */
export const voteKey = (user, target) => `${user.replaceAll('%', '%25').replaceAll('/', '%2F')}/${target}`

/** A key under which something is asked for, so that it is the same when it is asked for again. */

export const lengthMax = 512

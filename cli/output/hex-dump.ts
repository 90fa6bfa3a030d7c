/** "  0010  30 31 32 …  |012…|", sixteen bytes a line. */
export function hexDump(bytes: Uint8Array): string[] {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)]
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ")
    const text = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("")
    lines.push(`  ${at.toString(16).padStart(4, "0")}  ${hex.padEnd(47)}  |${text}|`)
  }
  return lines
}

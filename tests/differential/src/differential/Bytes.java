// Hand-laid frames for what Kafka's codec refuses to write: a list of typed tokens, such as "i16:3 i32:1 s:client x:00ff".
package differential;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;

final class Bytes {
    private Bytes() {}

    // i8 i16 i32 i64 big-endian; uv unsigned varint; s and cs string with a 16-bit or compact length; x hex; zero N bytes.
    static byte[] parse(String text) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (String token : text.strip().split("\\s+")) {
            if (token.isEmpty()) continue;
            int colon = token.indexOf(':');
            String kind = token.substring(0, colon);
            String value = token.substring(colon + 1);
            switch (kind) {
                case "i8": out.write(Integer.decode(value)); break;
                case "i16": out.writeBytes(ByteBuffer.allocate(2).putShort((short) (int) Integer.decode(value)).array()); break;
                case "i32": out.writeBytes(ByteBuffer.allocate(4).putInt((int) (long) Long.decode(value)).array()); break;
                case "i64": out.writeBytes(ByteBuffer.allocate(8).putLong(Long.decode(value)).array()); break;
                case "uv": varint(out, Integer.parseUnsignedInt(value)); break;
                case "s":
                    out.writeBytes(ByteBuffer.allocate(2).putShort((short) value.length()).array());
                    out.writeBytes(value.getBytes(StandardCharsets.UTF_8));
                    break;
                case "cs":
                    varint(out, value.length() + 1);
                    out.writeBytes(value.getBytes(StandardCharsets.UTF_8));
                    break;
                case "x": out.writeBytes(HexFormat.of().parseHex(value)); break;
                case "zero": out.writeBytes(new byte[Integer.parseInt(value)]); break;
                default: throw new IllegalArgumentException("no token is named " + kind);
            }
        }
        return out.toByteArray();
    }

    private static void varint(ByteArrayOutputStream out, int value) {
        while ((value & ~0x7f) != 0) {
            out.write((value & 0x7f) | 0x80);
            value >>>= 7;
        }
        out.write(value);
    }
}

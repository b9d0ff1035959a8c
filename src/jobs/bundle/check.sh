#!/bin/sh
# Checks this bundle with sh, sha256sum and openssl (3.0 or later). Ends with 0 if all is well.
# Verifie ce dossier avec sh, sha256sum et openssl (3.0 ou plus recent). Se termine par 0 si tout est conforme.
cd "$(dirname "$0")/.." || exit 2
bad=0
wrong() { echo "WRONG: $1"; bad=1; }
signed() { # key day, file, signature
    openssl pkeyutl -verify -rawin -pubin -inkey "proof/keys/$1.pem" -in "$2" -sigfile "$3" >/dev/null 2>&1
}
hex() { od -An -v -tx1 | tr -d ' \n'; }
public() { openssl pkey -pubin -in "$1" -outform DER 2>/dev/null | tail -c 32 | hex; }

sha256sum --check --strict --quiet SHA256SUMS || wrong "SHA256SUMS"
find . -type f ! -name SHA256SUMS ! -name SHA256SUMS.sig | sed 's|^\./||' | while read -r file; do
    grep -qF "  $file" SHA256SUMS || echo "$file"
done | grep . && wrong "files that SHA256SUMS does not list"
signed "DAY_OF_SUMS" SHA256SUMS SHA256SUMS.sig || wrong "the signature of SHA256SUMS"

for entry in proof/ledger/*.json; do
    day=$(cat "${entry%.json}.day")
    signed "$day" "$entry" "${entry%.json}.sig" || wrong "$entry: its signature"
    case $(cat "$entry") in *"\"day\":\"$day\""*) ;; *) wrong "$entry: its day" ;; esac
done

# Each key is named by an entry under the key before it; the first one by the entry that begins the ledger.
for key in proof/keys/*.pem; do
    day=$(basename "$key" .pem)
    named=$(grep -lF "\"public\":\"$(public "$key")\"" proof/ledger/*.json | head -n 1)
    if [ -z "$named" ]; then wrong "$key: no entry names it"; continue; fi
    case $(cat "$named") in
        *'"event":"begin"'*) ;;
        *'"event":"next-key"'*) [ "$(cat "${named%.json}.day")" != "$day" ] || wrong "$key: it names itself" ;;
        *) wrong "$key: no entry hands over to it" ;;
    esac
done

for segment in proof/segments/*; do
    [ -d "$segment" ] || continue
    digest=$(sha256sum < "$segment/footer" | cut -d ' ' -f 1)
    [ "$(tail -c 32 "$segment/sealed" | hex)" = "$digest" ] || wrong "$segment: the footer is not what was sealed"
    signed "$(cat "$segment/day")" "$segment/sealed" "$segment/sealed.sig" || wrong "$segment: its seal"
    grep -lF "\"digest\":\"$digest\"" proof/ledger/*.json | xargs grep -qF "$(cat "$segment/name")" \
        || wrong "$segment: the ledger does not know it"
done

[ "$bad" = 0 ] && echo "the bundle is whole / le dossier est conforme"
exit "$bad"

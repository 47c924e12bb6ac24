package peers

import "math"

// The form of a record in engines that store bytes: 8 bytes of value, 2 of age,
// then role, email and name, each behind a byte that holds its length. What an
// index compares is found without decoding the rest.
const (
	ageAt  = 8
	roleAt = ageAt + 2
)

func encode(r Record) string {
	b := make([]byte, 0, roleAt+3+len(r.Role)+len(r.Email)+len(r.Name))
	bits := math.Float64bits(r.Value)
	for shift := 56; shift >= 0; shift -= 8 {
		b = append(b, byte(bits>>shift))
	}
	b = append(b, byte(r.Age>>8), byte(r.Age))
	for _, s := range [...]string{r.Role, r.Email, r.Name} {
		b = append(b, byte(len(s)))
		b = append(b, s...)
	}
	return string(b)
}

func decode(id, text string) Record {
	if text == "" {
		return Record{}
	}
	var bits uint64
	for i := range ageAt {
		bits = bits<<8 | uint64(text[i])
	}
	role := textRole(text)
	email := textEmail(text)
	return Record{
		ID: id, Name: part(text, roleAt+2+len(role)+len(email)), Email: email, Role: role,
		Age: int(text[ageAt])<<8 | int(text[ageAt+1]), Value: math.Float64frombits(bits),
	}
}

func textAge(text string) string   { return text[ageAt:roleAt] }
func textRole(text string) string  { return part(text, roleAt) }
func textEmail(text string) string { return part(text, roleAt+1+int(text[roleAt])) }

// part returns the string behind its length at i.
func part(text string, i int) string { return text[i+1 : i+1+int(text[i])] }

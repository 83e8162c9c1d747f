package picture

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"
)

// gradient has more colours than a palette.
func gradient(width, height int) *image.RGBA {
	p := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			p.SetRGBA(x, y, color.RGBA{R: uint8(x), G: uint8(2 * y), B: uint8(x ^ y), A: 255})
		}
	}
	return p
}

func TestReduce(t *testing.T) {
	from := gradient(200, 100)
	small := Reduce(from)
	if len(small.Palette) != Colours {
		t.Errorf("the palette has %d colours, want %d", len(small.Palette), Colours)
	}
	first, err := Encode(small)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Encode(Reduce(from))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("the same picture is reduced to two different ones")
	}
	back, err := png.Decode(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	if share, _ := Compare(small, back); share != 0 {
		t.Errorf("%v of what was encoded differs", share)
	}
	plain := image.NewRGBA(image.Rect(0, 0, 10, 10))
	if got := len(Reduce(plain).Palette); got != 1 {
		t.Errorf("one colour gives a palette of %d", got)
	}
}

func TestCompare(t *testing.T) {
	before := gradient(20, 10)
	changed, nearly := gradient(20, 10), gradient(20, 10)
	for x := range 20 {
		changed.SetRGBA(x, 3, color.RGBA{R: 255, G: 255, B: 255, A: 255})
		was := nearly.RGBAAt(x, 3)
		nearly.SetRGBA(x, 3, color.RGBA{R: was.R + Near, G: was.G, B: was.B, A: 255})
	}
	for name, tc := range map[string]struct {
		after image.Image
		want  float64
	}{
		"same":   {gradient(20, 10), 0},
		"nearly": {nearly, 0},
		"a_line": {changed, 0.1},
		"longer": {gradient(20, 20), 0.5},
		"none":   {image.NewRGBA(image.Rectangle{}), 1},
	} {
		t.Run(name, func(t *testing.T) {
			share, differs := Compare(before, tc.after)
			if share != tc.want || differs.Bounds().Empty() {
				t.Errorf("%v differs, in a picture of %v; want %v", share, differs.Bounds(), tc.want)
			}
		})
	}
	_, differs := Compare(before, changed)
	if r, g, _, _ := differs.At(5, 3).RGBA(); r < 50_000 || g != 0 {
		t.Error("what differs is not red")
	}
}

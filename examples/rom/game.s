; game.s -- Brisk Quest, a small SNES game that exists to be modified.
;
; It boots, shows a title, waits at a menu, and then plays itself: the hero walks, and health,
; magic and rupees run down over time until the game is over.  Every number that a player would
; like to change sits in a table of its own, and every loss is one instruction with a label, so
; that a mod is a write of a few bytes that can be checked by disassembly.
;
;   label            what it is                                 mod
;   intro_frames     frames that the title stays                intro_skip
;   menu_wait        branch that waits for the START button     quickstart
;   logic_steps      game steps in one frame                    2x_speed
;   start_rupees     rupees at the start                        max_rupees
;   spend_rupee      DEC rupees                                 max_rupees
;   spend_magic      DEC magic                                  infinite_magic
;   spend_health     DEC health                                 infinite_health
;
; Memory: direct page below; a copy of the tile map at $7E:0200 goes to video memory in every
; vertical blank.  LoROM, 64 KiB, no copier header; the checksum is filled in after linking.

.p816
.smart  -

; --- registers ---------------------------------------------------------------------------------
INIDISP  = $2100
BGMODE   = $2105
BG1SC    = $2107
BG12NBA  = $210B
VMAIN    = $2115
VMADD    = $2116
VMDATA   = $2118
CGADD    = $2121
CGDATA   = $2122
TM       = $212C
NMITIMEN = $4200
MDMAEN   = $420B
RDNMI    = $4210
JOY1H    = $4219
DMAP0    = $4300
BBAD0    = $4301
A1T0     = $4302
A1B0     = $4304
DAS0     = $4305

; --- direct page -------------------------------------------------------------------------------
frame    = $10                  ; vertical blanks since start
seen     = $12                  ; last frame that the main loop handled
state    = $14                  ; index into state_table
timer    = $16                  ; frames left in the state
tick     = $18                  ; game steps since the game began
steps    = $1A                  ; steps left in this frame
number   = $1C                  ; scratch of print_number
health   = $20                  ; $7E:0020
magic    = $22                  ; $7E:0022
rupees   = $24                  ; $7E:0024
hero_x   = $26                  ; position in pixels

MAP      = $0200                ; tile map copy, 32 x 32 words
MAP_SIZE = $0800

STATE_INTRO = 0
STATE_MENU  = 1
STATE_PLAY  = 2
STATE_OVER  = 3

.define AT(column, row) ((row) * 64 + (column) * 2)

; --- code --------------------------------------------------------------------------------------
.segment "CODE"

.proc reset
        sei
        clc
        xce                     ; native mode
        rep     #$38            ; 16-bit A, X, Y; binary
        .a16
        .i16
        ldx     #$1FFF
        txs
        lda     #$0000
        tcd
        ldx     #$1FFE
@ram:   stz     $00,x
        dex
        dex
        bpl     @ram
        sep     #$20
        .a8
        phk
        plb
        stz     NMITIMEN
        lda     #$8F            ; screen off while it is set up
        sta     INIDISP
        ldx     #$0032
@ppu:   stz     $2101,x
        stz     $2101,x         ; some registers take two bytes
        dex
        bpl     @ppu
        jsr     load_palette
        jsr     load_font
        stz     BGMODE          ; mode 0: four layers of four colours
        lda     #$20            ; map at word $2000
        sta     BG1SC
        stz     BG12NBA
        lda     #$01
        sta     TM
        ldx     intro_frames
        stx     timer
        lda     #STATE_INTRO
        sta     state
        lda     #$81            ; vertical blank interrupt, joypads
        sta     NMITIMEN
        lda     #$0F
        sta     INIDISP
        cli
        jmp     main
.endproc

.proc load_palette
        stz     CGADD
        ldx     #$0000
@next:  lda     palette,x
        sta     CGDATA
        inx
        cpx     #palette_end - palette
        bne     @next
        rts
.endproc

.proc load_font
        lda     #$80
        sta     VMAIN
        ldx     #$0000
        stx     VMADD
@next:  lda     font,x
        sta     VMDATA          ; plane 0
        stz     VMDATA + 1      ; plane 1
        inx
        cpx     #font_end - font
        bne     @next
        rts
.endproc

; One pass per frame; wai sleeps until the interrupt.
.proc main
        wai
        ldx     frame
        cpx     seen
        beq     main
        stx     seen
        lda     logic_steps
        sta     steps
@step:  jsr     run_state
        dec     steps
        bne     @step
        jsr     draw
        bra     main
.endproc

.proc run_state
        rep     #$20
        .a16
        lda     state
        and     #$00FF
        asl
        tax
        sep     #$20
        .a8
        jmp     (state_table,x)
.endproc

.proc state_intro
        ldx     timer
        beq     @done
        dex
        stx     timer
        rts
@done:  ldx     menu_frames
        stx     timer
        lda     #STATE_MENU
        sta     state
        rts
.endproc

; Until START is pressed, or the attract time is over.
.proc state_menu
        ldx     timer
        beq     begin
        dex
        stx     timer
        lda     JOY1H
        and     #$10
wait:   beq     stay
begin:  ldx     start_health
        stx     health
        ldx     start_magic
        stx     magic
        ldx     start_rupees
        stx     rupees
        ldx     #$0000
        stx     tick
        stx     hero_x
        lda     #STATE_PLAY
        sta     state
stay:   rts
.endproc

.proc state_play
        rep     #$20
        .a16
        inc     tick
        inc     hero_x
        lda     tick
        and     #$000F          ; a rupee every 16 steps
        bne     cast
        lda     rupees
        beq     cast
rupee:  dec     rupees
cast:   lda     tick
        and     #$001F          ; magic every 32 steps
        bne     tire
        lda     magic
        beq     tire
spell:  dec     magic
tire:   lda     tick
        and     #$003F          ; health every 64 steps
        bne     alive
wound:  dec     health
        lda     health
        bne     alive
        sep     #$20
        .a8
        ldx     over_frames
        stx     timer
        lda     #STATE_OVER
        sta     state
        rts
alive:  sep     #$20
        .a8
        rts
.endproc

.proc state_over
        ldx     timer
        beq     @menu
        dex
        stx     timer
        rts
@menu:  ldx     menu_frames
        stx     timer
        lda     #STATE_MENU
        sta     state
        rts
.endproc

menu_wait    := state_menu::wait
spend_rupee  := state_play::rupee
spend_magic  := state_play::spell
spend_health := state_play::wound
        .export menu_wait, spend_rupee, spend_magic, spend_health
        .export intro_frames, logic_steps, start_rupees

; --- drawing into the tile map copy ------------------------------------------------------------

.proc draw
        jsr     clear_map
        ldy     #AT 10, 3
        ldx     #text_title
        jsr     print
        lda     state
        cmp     #STATE_INTRO
        beq     @done
        cmp     #STATE_MENU
        beq     @menu
        jsr     draw_status
        lda     state
        cmp     #STATE_OVER
        bne     @done
        ldy     #AT 11, 20
        ldx     #text_over
        jmp     print
@menu:  ldy     #AT 10, 14
        ldx     #text_start
        jmp     print
@done:  rts
.endproc

.proc draw_status
        ldy     #AT 6, 8
        ldx     #text_health
        jsr     print
        ldx     health
        stx     number
        ldy     #AT 18, 8
        jsr     print_number
        ldy     #AT 6, 10
        ldx     #text_magic
        jsr     print
        ldx     magic
        stx     number
        ldy     #AT 18, 10
        jsr     print_number
        ldy     #AT 6, 12
        ldx     #text_rupees
        jsr     print
        ldx     rupees
        stx     number
        ldy     #AT 18, 12
        jsr     print_number
        rep     #$20
        .a16
        lda     hero_x          ; eight pixels are a column
        lsr
        lsr
        lsr
        and     #$001F
        asl
        clc
        adc     #AT 0, 16
        tay
        lda     #TILE_HERO
        sta     MAP,y
        sep     #$20
        .a8
        rts
.endproc

.proc clear_map
        rep     #$20
        .a16
        ldx     #MAP_SIZE - 2
@next:  stz     MAP,x
        dex
        dex
        bpl     @next
        sep     #$20
        .a8
        rts
.endproc

; X: text of tile numbers, ends in $FF.  Y: offset in the map.
.proc print
        lda     $0000,x
        cmp     #$FF
        beq     @done
        sta     MAP,y
        iny
        iny
        inx
        bra     print
@done:  rts
.endproc

; number: 0..999, three digits.  Y: offset in the map.
.proc print_number
        rep     #$20
        .a16
        lda     number
        ldx     #TILE_0
@hundreds:
        cmp     #100
        bcc     @store
        sbc     #100
        inx
        bra     @hundreds
@store: sta     number
        txa
        sta     MAP,y
        lda     number
        ldx     #TILE_0
@tens:  cmp     #10
        bcc     @ones
        sbc     #10
        inx
        bra     @tens
@ones:  clc
        adc     #TILE_0
        sta     MAP + 4,y
        txa
        sta     MAP + 2,y
        sep     #$20
        .a8
        rts
.endproc

; --- interrupts --------------------------------------------------------------------------------

.proc nmi
        rep     #$30
        .a16
        pha
        phx
        phy
        phd
        phb
        lda     #$0000
        tcd
        sep     #$20
        .a8
        lda     #$00
        pha
        plb
        lda     RDNMI
        lda     #$80
        sta     VMAIN
        ldx     #$2000
        stx     VMADD
        ldx     #$1801          ; two registers in turn, to VMDATA
        stx     DMAP0
        ldx     #MAP
        stx     A1T0
        lda     #$7E
        sta     A1B0
        ldx     #MAP_SIZE
        stx     DAS0
        lda     #$01
        sta     MDMAEN
        rep     #$20
        .a16
        inc     frame
        plb
        pld
        ply
        plx
        pla
        rti
.endproc

.proc ignore
        rti
.endproc

; --- data --------------------------------------------------------------------------------------
.segment "RODATA"

state_table:
        .word   state_intro, state_menu, state_play, state_over
intro_frames:
        .word   180
menu_frames:
        .word   600
over_frames:
        .word   240
start_health:
        .word   160
start_magic:
        .word   128
start_rupees:
        .word   100
logic_steps:
        .byte   1

palette:                        ; 0: night blue, 1: white, 2: green, 3: gold
        .word   $2842, $7FFF, $03E0, $1F5F
palette_end:

TILE_0    = 1
TILE_HERO = 37

; Characters of texts: space, 0-9, A-Z.
.charmap $20, $00
.repeat 10, i
        .charmap $30 + i, TILE_0 + i
.endrepeat
.repeat 26, i
        .charmap $41 + i, 11 + i
.endrepeat

text_title:
        .byte   "BRISK QUEST", $FF
text_start:
        .byte   "PRESS START", $FF
text_over:
        .byte   "GAME OVER", $FF
text_health:
        .byte   "HEALTH", $FF
text_magic:
        .byte   "MAGIC", $FF
text_rupees:
        .byte   "RUPEES", $FF

; Eight rows a glyph, one bit a pixel.
font:
        .byte   $00,$00,$00,$00,$00,$00,$00,$00 ; space
        .byte   $3C,$66,$6E,$76,$66,$66,$3C,$00 ; 0
        .byte   $18,$38,$18,$18,$18,$18,$7E,$00 ; 1
        .byte   $3C,$66,$06,$0C,$18,$30,$7E,$00 ; 2
        .byte   $3C,$66,$06,$1C,$06,$66,$3C,$00 ; 3
        .byte   $0C,$1C,$2C,$4C,$7E,$0C,$0C,$00 ; 4
        .byte   $7E,$60,$7C,$06,$06,$66,$3C,$00 ; 5
        .byte   $1C,$30,$60,$7C,$66,$66,$3C,$00 ; 6
        .byte   $7E,$06,$0C,$0C,$18,$18,$18,$00 ; 7
        .byte   $3C,$66,$66,$3C,$66,$66,$3C,$00 ; 8
        .byte   $3C,$66,$66,$3E,$06,$0C,$38,$00 ; 9
        .byte   $18,$3C,$66,$66,$7E,$66,$66,$00 ; A
        .byte   $7C,$66,$66,$7C,$66,$66,$7C,$00 ; B
        .byte   $3C,$66,$60,$60,$60,$66,$3C,$00 ; C
        .byte   $78,$6C,$66,$66,$66,$6C,$78,$00 ; D
        .byte   $7E,$60,$60,$78,$60,$60,$7E,$00 ; E
        .byte   $7E,$60,$60,$78,$60,$60,$60,$00 ; F
        .byte   $3C,$66,$60,$6E,$66,$66,$3E,$00 ; G
        .byte   $66,$66,$66,$7E,$66,$66,$66,$00 ; H
        .byte   $3C,$18,$18,$18,$18,$18,$3C,$00 ; I
        .byte   $1E,$0C,$0C,$0C,$0C,$6C,$38,$00 ; J
        .byte   $66,$6C,$78,$70,$78,$6C,$66,$00 ; K
        .byte   $60,$60,$60,$60,$60,$60,$7E,$00 ; L
        .byte   $63,$77,$7F,$6B,$63,$63,$63,$00 ; M
        .byte   $66,$76,$7E,$7E,$6E,$66,$66,$00 ; N
        .byte   $3C,$66,$66,$66,$66,$66,$3C,$00 ; O
        .byte   $7C,$66,$66,$7C,$60,$60,$60,$00 ; P
        .byte   $3C,$66,$66,$66,$6A,$6C,$36,$00 ; Q
        .byte   $7C,$66,$66,$7C,$78,$6C,$66,$00 ; R
        .byte   $3E,$60,$60,$3C,$06,$06,$7C,$00 ; S
        .byte   $7E,$18,$18,$18,$18,$18,$18,$00 ; T
        .byte   $66,$66,$66,$66,$66,$66,$3C,$00 ; U
        .byte   $66,$66,$66,$66,$66,$3C,$18,$00 ; V
        .byte   $63,$63,$63,$6B,$7F,$77,$63,$00 ; W
        .byte   $66,$66,$3C,$18,$3C,$66,$66,$00 ; X
        .byte   $66,$66,$66,$3C,$18,$18,$18,$00 ; Y
        .byte   $7E,$06,$0C,$18,$30,$60,$7E,$00 ; Z
        .byte   $18,$18,$7E,$99,$18,$3C,$24,$66 ; hero
font_end:

; --- header ------------------------------------------------------------------------------------
; The character map above would change a text, so the title is written as numbers.
.segment "HEADER"
        .byte   $42,$52,$49,$53,$4B,$20,$51,$55,$45,$53,$54 ; BRISK QUEST
        .res    10, $20
        .byte   $20             ; map mode: LoROM, slow
        .byte   $00             ; ROM only
        .byte   $06             ; 64 KiB
        .byte   $00             ; no save RAM
        .byte   $01             ; North America
        .byte   $00             ; licensee: none
        .byte   $00             ; version
        .word   $FFFF           ; complement and checksum, filled in after linking
        .word   $0000
        .word   0, 0, ignore, ignore, ignore, nmi, 0, ignore    ; native mode
        .word   0, 0, ignore, 0, ignore, ignore, reset, ignore  ; emulation mode

.segment "BANK1"
        .byte   $00
